"""`python -m trunkline_gateway --config FILE`: the gateway alone, on `listen.http` and `listen.grpc`."""

from trunkline_gateway.app import open_gateway
from trunkline_gateway.config import GatewayConfig
from trunkline_kit.runner import run_service

if __name__ == "__main__":
    run_service("gateway", open_gateway, GatewayConfig.from_settings)
