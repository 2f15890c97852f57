"""The gateway: one URL in front of every model."""
