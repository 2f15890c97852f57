"""The header `idempotency-key`: one request, however often it is sent."""
