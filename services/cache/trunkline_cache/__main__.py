"""`python -m trunkline_cache --config FILE`: the cache alone, on `listen.grpc`."""

from trunkline_cache.app import open_cache
from trunkline_cache.config import CacheConfig
from trunkline_kit.runner import run_service

if __name__ == "__main__":
    run_service("cache", open_cache, CacheConfig.from_settings)
