"""`python -m trunkline_guardrails --config FILE`: the guardrails alone, on `listen.grpc`."""

from trunkline_guardrails.app import open_guardrails
from trunkline_guardrails.config import GuardrailsConfig
from trunkline_kit.runner import run_service

if __name__ == "__main__":
    run_service("guardrails", open_guardrails, GuardrailsConfig.from_settings)
