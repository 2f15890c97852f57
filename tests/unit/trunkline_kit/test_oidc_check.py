"""What `identity.oidc` can get wrong."""

import pytest

from trunkline_kit.config import decode
from trunkline_kit.config_check import Level, check, require_valid
from trunkline_kit.errors import ConfigError
from trunkline_kit.oidc_check import oidc_errors, oidc_warnings
from trunkline_kit.settings import Settings

GOOD = {"issuer": "https://id.example.com", "audience": ["trunkline"]}


def settings(tree=None, **oidc):
    return decode({"identity": {"oidc": {"corp": {**GOOD, **oidc}}}, **(tree or {})}, Settings)


def paths(problems):
    return [path.removeprefix("identity.oidc.corp") for path, _ in problems]


def test_what_is_good():
    tree = {"teams": {"search": {}}, "policies": {"strict": {}}, "projects": {"web": {"team": "search"}}}
    found = settings(tree, teams={"x": "search", "y": "default"}, team="search", project="web", policy="strict")
    assert not [*oidc_errors(found), *oidc_warnings(found)]


@pytest.mark.parametrize(
    ("oidc", "path"),
    [
        ({"policy": "gone"}, ".policy"),
        ({"issuer": "https://ann:hunter2@id.example.com"}, ".issuer"),
        ({"jwks_url": "https://:443/keys"}, ".jwks_url"),
        ({"jwks_url": "https://[/keys"}, ".jwks_url"),
    ],
    ids=str,
)
def test_errors(oidc, path):
    found = settings(**oidc)
    assert paths(oidc_errors(found)) == [path]
    assert not any("hunter2" in message for _, message in oidc_errors(found))
    assert [one.level for one in check(found) if one.path.endswith(path)] == [Level.ERROR]


def test_a_key_of_the_same_name():
    for key_id, found in (("corp", [""]), ("corp/ann", [""]), ("corp-2", []), ("x/corp", [])):
        key = {"id": key_id, "secret": f"sha256:{'0' * 64}"}
        assert paths(oidc_errors(settings({"keys": [key]}))) == found
    with pytest.raises(ConfigError, match="key `corp/x` is named like its tokens"):
        require_valid(settings({"keys": [{"id": "corp/x", "secret": "env:K"}]}))


@pytest.mark.parametrize(
    ("oidc", "found"),
    [
        ({"issuer": "http://id.example.com"}, [".issuer"]),
        ({"issuer": "http://id.example.com", "jwks_url": "https://id.example.com/keys"}, []),
        ({"jwks_url": "http://10.0.0.1/keys"}, [".jwks_url"]),
        ({"issuer": "http://localhost:8080"}, []),
        ({"issuer": "http://127.0.0.1:8080"}, []),
        ({"issuer": "http://[::1]:8080"}, []),
        ({"issuer": "http://["}, []),
        ({"teams": {"x": "gone"}, "team": "away"}, [".teams", ".teams"]),
        ({"project": "gone"}, [".project"]),
    ],
    ids=str,
)
def test_warnings(oidc, found):
    assert paths(oidc_warnings(settings(**oidc))) == found


def test_with_a_database_teams_may_be_made_at_run_time():
    tree = {"stores": {"database": "env:DATABASE"}}
    assert not list(oidc_warnings(settings(tree, teams={"x": "gone"}, project="gone")))
