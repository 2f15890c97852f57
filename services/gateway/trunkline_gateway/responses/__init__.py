"""OpenAI's Responses: what is around the dialect, which is state."""
