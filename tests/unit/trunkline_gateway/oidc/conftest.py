"""An issuer on paper: settings, and tokens that it signed."""

from collections.abc import Callable
from typing import Any

import pytest

from trunkline_kit.identity import Algorithm, Oidc
from trunkline_testkit.issuer import FakeIssuer

URL = "https://id.example.com"


@pytest.fixture
def oidc() -> Callable[..., Oidc]:
    """Settings for it, with all algorithms."""

    def made(**settings: Any) -> Oidc:
        base = {"issuer": URL, "audience": ("trunkline",), "algorithms": tuple(Algorithm)}
        return Oidc(**{**base, **settings})

    return made


@pytest.fixture
def issuer() -> FakeIssuer:
    """One that nobody can reach."""
    made = FakeIssuer()
    made.url = URL
    return made
