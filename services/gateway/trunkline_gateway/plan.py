"""Where a request may go, and how what failed there is told to the rules in `trunkline_policy.retries`."""

import msgspec

from trunkline_kit.profiles import Profile
from trunkline_policy.faults import FailureKind
from trunkline_policy.retries import Failed

__all__ = ["Failure", "FailureKind", "Target"]

CANARY, STABLE = "canary", "stable"
"""The arms of a model with a deployment that is tried out."""


class Target(msgspec.Struct, frozen=True):
    """One deployment of one model."""

    model: str
    """The public name."""
    provider: str
    """A key of `providers:`."""
    provider_model: str
    weight: float = 1.0
    context_tokens: int | None = None
    """Of prompt and answer; None where nobody has said."""
    profile: Profile | None = None
    """What its model can do, where that differs from its protocol."""
    arm: str = ""
    """`canary` or `stable` for a model that has both."""

    @property
    def account(self) -> str:
        """Whose credentials it uses."""
        return self.provider

    @property
    def place(self) -> tuple[str, str]:
        """The deployment itself, whatever name led to it."""
        return self.provider, self.provider_model

    @property
    def key(self) -> str:
        """The same as text."""
        return f"{self.provider}/{self.provider_model}"


Failure = Failed[Target]
