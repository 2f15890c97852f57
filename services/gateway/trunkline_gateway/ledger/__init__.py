"""Every attempt is one row: written down off the request's way, never lost to a store that is away, never twice."""
