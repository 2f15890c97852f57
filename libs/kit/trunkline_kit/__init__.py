"""The runtime every service stands on: configuration, errors, clock, transport, telemetry."""
