from datetime import UTC, datetime

import msgspec
import pytest

from trunkline_kit.errors import InvalidRequest
from trunkline_standalone.commands import audit
from trunkline_standalone.commands.audit import changed_fields, since_of
from trunkline_standalone.remote import Remote


def fields(**given):
    return {name: msgspec.Raw(text.encode()) for name, text in given.items()}


def test_which_fields_changed():
    before, after = fields(a='{"x": 1}', b="2", c="3"), fields(a='{"x":1}', b="4", d="5")
    assert changed_fields(before, after) == ["b", "c", "d"]
    assert changed_fields(None, after) == changed_fields(before, None) == []


def test_since_when():
    assert since_of("") == ""
    assert datetime.fromisoformat(since_of("1h")) < datetime.now(UTC)
    assert since_of("2026-01-01") == "2026-01-01T00:00:00+00:00"
    for text in ("soon", "never"):
        with pytest.raises(InvalidRequest, match=r"give 7d, 12h, 2w or 2026-11-01$"):
            since_of(text)


def test_whoami(monkeypatch, tmp_path, capsys):
    answer = {"id": "k", "org": "o", "team": "t", "scopes": ["inference"], "models": ["*"], "expires_at": None}
    monkeypatch.setattr(audit, "asked", lambda *_: msgspec.json.encode(answer))
    audit.run_whoami(Remote(home=tmp_path), as_json=False)
    assert dict(line.split("\t") for line in capsys.readouterr().out.splitlines())["expires"] == "never"
    audit.run_whoami(Remote(home=tmp_path), as_json=True)
    assert msgspec.json.decode(capsys.readouterr().out) == answer
