import msgspec
import pytest

from trunkline_standalone.commands import overrides
from trunkline_standalone.commands.overrides import Terms
from trunkline_standalone.remote import Remote

DEAL = {"id": "p1", "provider": "openai", "model": "gpt-4o", "team": "search", "input_usd": 2.5, "cache_read_usd": 0}
FILED = {"id": "file:0", "provider": "own", "model": "*", "gpu_second_usd": 0.0008, "gpu_requests": 8, "declared": True}


@pytest.fixture
def remote(tmp_path):
    return Remote(home=tmp_path)


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def ask(remote, method, path, body=None):
        calls.append((method, path, msgspec.to_builtins(body)))
        return msgspec.json.encode({"id": "p9", "provider": "openai", **(msgspec.to_builtins(body) or {})})

    async def known(remote, query):
        calls.append(query)
        return [msgspec.Raw(msgspec.json.encode(one)) for one in (FILED, DEAL)]

    monkeypatch.setattr(overrides, "asked", ask)
    monkeypatch.setattr(overrides, "_all", known)
    return calls


def test_all_are_listed_with_their_prices(asked, remote, capsys):
    overrides.run_list(remote, (("provider", ""),), as_json=False)
    _, filed, deal = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert filed == ["file:0", "own", "*", "", "input $0, output $0; GPU $0.0008 a second, shared by 8", "file"]
    assert deal == ["p1", "openai", "gpt-4o", "search", "input $2.5, output $0, cache read $0", ""]
    overrides.run_list(remote, (), as_json=True)
    assert [one["id"] for one in msgspec.json.decode(capsys.readouterr().out)] == ["file:0", "p1"]


def test_a_new_one_is_made_with_what_was_given(asked, remote, capsys):
    overrides.run_set(remote, Terms(provider="openai", model="gpt-4o", input_usd=0), as_json=False)
    assert asked[0] == (("provider", "openai"),)
    assert asked[1] == ("POST", "/prices", {"provider": "openai", "model": "gpt-4o", "input_usd": 0})
    assert capsys.readouterr().err == "made price p9: input $0, output $0\n"


def test_the_one_of_the_same_place_is_replaced_whole(asked, remote, capsys):
    overrides.run_set(remote, Terms(provider="openai", model="gpt-4o", team="search", output_usd=1), as_json=True)
    method, path, body = asked[1]
    assert (method, path) == ("PATCH", "/prices/p1")
    assert (body["input_usd"], body["output_usd"], body["cache_read_usd"]) == (None, 1, None)
    assert msgspec.json.decode(capsys.readouterr().out)["id"] == "p9"


def test_what_the_file_declares_is_never_replaced(asked, remote):
    overrides.run_set(remote, Terms(provider="own", model="*", request_usd=1), as_json=False)
    assert asked[1][0] == "POST"
