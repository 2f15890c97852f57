"""The router: virtual models resolved to models."""
