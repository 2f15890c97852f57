"""Valkey and Postgres as child processes: for a machine that has none. They end with this process, however it ends."""
