"""The admin API's objects as messages of gateway.v1, and back."""

from datetime import UTC, datetime

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.gateway.v1 import gateway_service_pb2 as pb
from trunkline_gateway.directory.objects import Item, Kind, Query
from trunkline_gateway.ledger.questions import Asked
from trunkline_gateway.ledger.report import Line
from trunkline_kit.tenants import KeySpec

KEYS_PER_PAGE = 100


def keys_query(request: pb.ListKeysRequest) -> Query:
    """Which keys."""
    equal = {"team": request.team} if request.team else {}
    return Query(kind=Kind.KEY, limit=request.limit or KEYS_PER_PAGE, after=request.page_token, equal=equal)


def key_message(item: Item) -> pb.Key:
    """What may be shown of a key."""
    spec = item.spec
    assert isinstance(spec, KeySpec)  # noqa: S101 - of a key
    return pb.Key(
        key_id=item.id,
        team=spec.team,
        last_four=item.secrets[0].last_four if item.secrets else "",
        disabled=spec.disabled,
        created_at=_stamp(item.created_at),
        expires_at=_stamp(spec.expires_at),
        models=spec.models,
        scopes=[scope.value for scope in spec.scopes],
    )


def new_key_body(request: pb.CreateKeyRequest) -> bytes:
    """The same request as a body of `POST /keys`: what is empty is left out, and checked in one place."""
    expires_at = _moment(request.expires_at) if request.HasField("expires_at") else None
    fields = {
        "id": request.key_id,
        "team": request.team,
        "models": list(request.models),
        "scopes": list(request.scopes),
        "expires_at": expires_at,
    }
    return msgspec.json.encode({name: value for name, value in fields.items() if value})


def usage_asked(request: pb.GetUsageRequest) -> Asked:
    """The ledger's question; the last seven days where no time is given."""
    since = _moment(request.since).isoformat() if request.HasField("since") else "7d"
    until = _moment(request.until).isoformat() if request.HasField("until") else None
    return Asked(by=tuple(request.group_by), since=since, until=until)


def usage_row(line: Line) -> pb.UsageRow:
    """One group."""
    return pb.UsageRow(
        group=line.by,
        requests=line.requests,
        prompt_tokens=line.input_tokens,
        completion_tokens=line.output_tokens,
        cost_nusd=line.cost_nusd,
    )


def _stamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
