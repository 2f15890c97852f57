"""The replicas of a worker: who they are, how busy they are, and which of them gets a request."""
