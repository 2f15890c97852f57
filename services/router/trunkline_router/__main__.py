"""`python -m trunkline_router --config FILE`: the router alone, on `listen.grpc`."""

from trunkline_kit.runner import run_service
from trunkline_router.app import open_router
from trunkline_router.config import RouterConfig

if __name__ == "__main__":
    run_service("router", open_router, RouterConfig.from_settings)
