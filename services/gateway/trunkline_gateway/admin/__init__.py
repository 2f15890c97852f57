"""The admin API: who may use the gateway, how much, and who changed it."""
