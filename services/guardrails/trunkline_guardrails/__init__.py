"""The guardrails: checks of what goes in and what comes out."""
