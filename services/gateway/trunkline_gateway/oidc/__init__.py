"""Tokens of identity providers, taken as well as keys: any JWT whose issuer publishes its public keys."""
