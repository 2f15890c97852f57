"""The deployments that may answer: what is known of them, who is tried first, when a second one is asked."""
