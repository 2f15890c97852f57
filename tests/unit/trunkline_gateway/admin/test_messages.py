from datetime import UTC, datetime

import msgspec
import pytest

from trunkline.gateway.v1 import gateway_service_pb2 as pb
from trunkline_gateway.admin.messages import key_message, keys_query, new_key_body, usage_asked, usage_row
from trunkline_gateway.directory.objects import Item, Kind, Query, SecretMark
from trunkline_gateway.ledger.questions import Asked
from trunkline_gateway.ledger.report import NOTHING
from trunkline_kit.tenants import KeySpec, Scope

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_key():
    marks = (SecretMark(last_four="new4", created_at=NOW), SecretMark(last_four="old4", created_at=NOW))
    spec = KeySpec(team="t", scopes=(Scope.ADMIN_READ,), models=("a", "b*"), disabled=True)
    item = Item(kind=Kind.KEY, id="k", spec=spec, version=1, created_at=NOW, secrets=marks)
    shown = key_message(item)
    assert (shown.key_id, shown.team, shown.last_four, shown.disabled) == ("k", "t", "new4", True)
    assert (list(shown.models), list(shown.scopes)) == (["a", "b*"], ["admin:read"])
    assert shown.created_at.ToDatetime(tzinfo=UTC) == NOW
    assert not shown.HasField("expires_at")


def test_a_declared_key_has_no_secret_to_show():
    shown = key_message(Item(kind=Kind.KEY, id="k", spec=KeySpec(expires_at=NOW), version=0))
    assert (shown.last_four, shown.HasField("created_at")) == ("", False)
    assert shown.expires_at.ToDatetime(tzinfo=UTC) == NOW


def test_which_keys():
    assert keys_query(pb.ListKeysRequest()) == Query(kind=Kind.KEY, limit=100)
    asked = pb.ListKeysRequest(team="t", limit=3, page_token="a")
    assert keys_query(asked) == Query(kind=Kind.KEY, limit=3, after="a", equal={"team": "t"})


def test_what_is_empty_is_left_out_of_a_new_key():
    assert new_key_body(pb.CreateKeyRequest()) == b"{}"
    request = pb.CreateKeyRequest(team="t", key_id="k", models=["m"], scopes=["metrics"])
    request.expires_at.FromDatetime(NOW)
    assert msgspec.json.decode(new_key_body(request)) == {
        "id": "k",
        "team": "t",
        "models": ["m"],
        "scopes": ["metrics"],
        "expires_at": "2026-01-02T03:04:05Z",
    }


@pytest.mark.parametrize("given", [True, False])
def test_the_ledgers_question(given):
    request = pb.GetUsageRequest(group_by=["team"])
    if given:
        request.since.FromDatetime(NOW)
        request.until.FromDatetime(NOW)
    times = {"since": NOW.isoformat(), "until": NOW.isoformat()} if given else {}
    assert usage_asked(request) == Asked(by=("team",), **times)


def test_a_line_of_usage():
    line = msgspec.structs.replace(
        NOTHING,
        by={"team": "t"},
        requests=2,
        uncached_input_tokens=3,
        cache_read_tokens=4,
        output_tokens=5,
        cost_nusd=6,
    )
    row = usage_row(line)
    assert dict(row.group) == {"team": "t"}
    assert (row.requests, row.prompt_tokens, row.completion_tokens, row.cost_nusd) == (2, 7, 5, 6)
