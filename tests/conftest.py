"""For all tests: laws are checked on the same examples each time, and a busy machine makes none of them fail."""

from hypothesis import settings

settings.register_profile("trunkline", deadline=None, derandomize=True)
settings.load_profile("trunkline")
