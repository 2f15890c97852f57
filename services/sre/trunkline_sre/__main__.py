"""`python -m trunkline_sre --config FILE`: the sre service alone, on `listen.grpc`."""

from trunkline_kit.runner import run_service
from trunkline_sre.app import open_sre
from trunkline_sre.config import SreConfig

if __name__ == "__main__":
    run_service("sre", open_sre, SreConfig.from_settings)
