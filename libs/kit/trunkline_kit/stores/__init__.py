"""Connections to shared state: Valkey or Redis, and Postgres. Both fail fast and say so as StoreUnavailable."""
