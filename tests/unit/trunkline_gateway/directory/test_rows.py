"""Rows of the database as objects."""

from datetime import UTC, datetime

import pytest

from trunkline_gateway.directory.objects import Action, Kind, SecretMark
from trunkline_gateway.directory.rows import entry_of, items_of, known_secrets, marks_of, stored_of
from trunkline_gateway.directory.specs import UnknownSpec
from trunkline_kit.tenants import KeySpec, Team

AT = datetime(2026, 11, 24, tzinfo=UTC)


def row(kind, object_id, spec="{}"):
    return {"kind": kind, "id": object_id, "spec": spec, "version": 3, "created_at": AT, "updated_at": AT}


def mark(key_id, last_four):
    return {
        "key_id": key_id,
        "digest": last_four.encode(),
        "last_four": last_four,
        "created_at": AT,
        "expires_at": None,
    }


def test_secrets_are_those_of_keys_in_their_order():
    rows = [mark("k", "new1"), mark("t", "none"), mark("k", "old1")]
    items = items_of([row("key", "k"), row("team", "t"), row("key", "bare")], marks_of(rows))
    shown = {item.id: [secret.last_four for secret in item.secrets] for item in items}
    assert shown == {"k": ["new1", "old1"], "t": [], "bare": []}
    assert [item.spec for item in items] == [KeySpec(), Team(), KeySpec()]
    assert [known.digest for known in known_secrets(rows, items)] == [b"new1", b"old1"], "a team has none"


def test_what_cannot_be_read_is_left_out_and_said(caplog):
    items = items_of([row("key", "k", '{"new": 1}'), row("gadget", "g"), row("team", "t")], {})
    assert [item.id for item in items] == ["t"]
    assert "key 'k' cannot be read here and is left out" in caplog.text
    assert "a gadget 'g', which this version does not know" in caplog.text
    with pytest.raises(UnknownSpec):
        stored_of(row("key", "k", '{"new": 1}')).item()


def test_an_entry_of_the_log_keeps_its_documents_as_they_are():
    entry = entry_of(
        {
            "id": 7,
            "at": AT,
            "actor": "ann",
            "source": "::1",
            "request_id": "r",
            "action": "rotate",
            "kind": "key",
            "object_id": "k",
            "before": None,
            "after": '{"team": "t"}',
        }
    )
    assert (entry.action, entry.kind, entry.before, bytes(entry.after)) == (
        Action.ROTATE,
        Kind.KEY,
        None,
        b'{"team": "t"}',
    )


def test_a_stored_object_is_shown_with_when_and_what():
    secrets = (SecretMark(last_four="abcd", created_at=AT),)
    item = stored_of(row("key", "k", '{"disabled": true}'), secrets).item()
    assert (item.version, item.created_at, item.spec.disabled, item.secrets) == (3, AT, True, secrets)
