"""The settings about identity: what is refused while they are read."""

import pytest

from trunkline_kit.config import decode
from trunkline_kit.errors import ConfigError
from trunkline_kit.identity import Algorithm, Identity, Oidc, OnRevoke
from trunkline_kit.tenants import Scope

OKTA = {"issuer": "https://login.example.com", "audience": ["trunkline"]}


def test_what_is_left_out_is_safe():
    assert Identity().on_revoke is OnRevoke.CUT
    assert decode(OKTA, Oidc).scopes == (Scope.INFERENCE,)
    assert decode(OKTA, Oidc).team is None, "a token that leads to no team is refused"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "hs512", ""])
def test_no_signature_but_those_of_public_keys(algorithm):
    with pytest.raises(ConfigError, match="algorithms"):
        decode({**OKTA, "algorithms": [algorithm]}, Oidc)
    assert not {one.value for one in Algorithm} & {"none", "HS256", "HS384", "HS512"}


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"pepper": "the secret itself"}, "pepper"),
        ({"poll_s": 2}, "poll_s"),
        ({"oidc": {"okta": {**OKTA, "audience": []}}}, "audience"),
        ({"oidc": {"okta": {**OKTA, "issuer": "login.example.com"}}}, "issuer"),
        ({"oidc": {"okta": {**OKTA, "roles": {"admin": ["root"]}}}}, "roles"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_path(tree, text):
    with pytest.raises(ConfigError, match=text):
        decode(tree, Identity)
