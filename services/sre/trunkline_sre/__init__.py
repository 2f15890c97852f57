"""The sre service: traces in, traces out."""
