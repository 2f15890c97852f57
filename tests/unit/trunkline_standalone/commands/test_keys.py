import msgspec
import pytest

from trunkline_standalone.commands import keys
from trunkline_standalone.commands.changes import Changes
from trunkline_standalone.remote import Remote

MADE = {
    "id": "k",
    "team": "t",
    "secret": "tl-new",
    "secrets": [
        {"last_four": "-new", "created_at": "2026-01-01T00:00:00Z", "expires_at": None},
        {"last_four": "-old", "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z"},
    ],
}


@pytest.fixture
def asked(monkeypatch):
    """What the gateway was asked; it answers with a key that was just made."""
    calls = []

    def ask(remote, method, path, body=None):
        calls.append((method, path, msgspec.json.decode(msgspec.json.encode(body))))
        return msgspec.json.encode(MADE)

    monkeypatch.setattr(keys, "asked", ask)
    return calls


@pytest.fixture
def remote(tmp_path):
    return Remote(home=tmp_path)


def test_the_secret_stands_alone_on_standard_output(asked, remote, capsys):
    keys.run_create(remote, Changes(id="k"), as_json=False)
    found = capsys.readouterr()
    assert found.out == "tl-new\n"
    assert "made key k of team t" in found.err
    assert "tl-new" not in found.err
    assert asked == [("POST", "/keys", {"id": "k"})]


def test_a_rotation_tells_how_long_the_old_one_works(asked, remote, capsys):
    keys.run_rotate(remote, "a/b", 60.0, as_json=False)
    keys.run_rotate(remote, "k", None, as_json=False)
    found = capsys.readouterr()
    assert found.out == "tl-new\ntl-new\n"
    assert "…-old works until 2026-01-02 00:00" in found.err
    assert asked == [("POST", "/keys/a%2Fb/rotate", {"overlap_s": 60}), ("POST", "/keys/k/rotate", {})]


def test_as_json_all_of_it_is_the_answer(asked, remote, capsys):
    keys.run_create(remote, Changes(), as_json=True)
    found = capsys.readouterr()
    assert msgspec.json.decode(found.out) == MADE
    assert found.err == ""


def test_switches(asked, remote, capsys):
    keys.run_switch(remote, "k", "disable", as_json=False)
    assert asked == [("POST", "/keys/k/disable", None)]
    assert "tl-new" not in capsys.readouterr().out
