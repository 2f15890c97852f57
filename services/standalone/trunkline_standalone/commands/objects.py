"""`trunkline orgs | teams | projects | tags | keys`: list, show, create, set, delete, over the admin API."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

import msgspec

from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import Budget, Limit
from trunkline_standalone.columns import ID_LEAST, Column, Shape
from trunkline_standalone.commands.changes import Changes
from trunkline_standalone.remote import Pairs, Remote, connected
from trunkline_standalone.tables import note, say_fields, say_json, say_table
from trunkline_standalone.terms import told_bounds


class Mark(msgspec.Struct, frozen=True):
    """Of a key's secret."""

    last_four: str
    created_at: datetime | None = None
    expires_at: datetime | None = None


class Managed(msgspec.Struct, frozen=True, kw_only=True):
    """An object of any kind: what of it is shown. Fields that its kind does not have are as by default."""

    id: str
    object: str = ""
    version: int = 0
    declared: bool = False
    org: str = ""
    team: str = ""
    project: str | None = None
    scopes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    disabled: bool = False
    expires_at: datetime | None = None
    networks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    priority: str = ""
    policy: str | None = None
    weight: float | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    secrets: tuple[Mark, ...] = ()
    secret: str = ""
    """Of a key that was just made, or rotated."""


class Noun(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of object on the command line."""

    plural: str
    columns: tuple[str, ...]
    """Of its table, between the id and its limits."""


ORGS = Noun(plural="orgs", columns=())
TEAMS = Noun(plural="teams", columns=("org", "weight"))
PROJECTS = Noun(plural="projects", columns=("team",))
TAGS = Noun(plural="tags", columns=())
KEYS = Noun(plural="keys", columns=("team", "project", "secret", "scopes", "state"))
NOUNS = {noun.plural: noun for noun in (ORGS, TEAMS, PROJECTS, TAGS, KEYS)}


def run_list(remote: Remote, noun: Noun, query: Pairs, *, as_json: bool) -> None:
    """All of them, page after page."""
    rows = asyncio.run(_all(remote, f"/{noun.plural}", query))
    if as_json:
        say_json(msgspec.json.encode(rows))
        return
    items = [msgspec.json.decode(row, type=Managed) for row in rows]
    say_table(columns_of(noun), [_row(item, noun) for item in items])


def columns_of(noun: Noun) -> tuple[Column, ...]:
    """Of its table. Names stay whole as long as what else there is can be spared."""
    shapes = {"secret": Shape.WHOLE, "scopes": Shape.TEXT, "state": Shape.WHOLE, "weight": Shape.NUMBER}
    spares = {"project": 2, "secret": 3, "scopes": 4}
    between = (
        Column(name=name, shape=shapes.get(name, Shape.NAME), spare=spares.get(name, 0)) for name in noun.columns
    )
    return (
        Column(name="id", shape=Shape.NAME, least=ID_LEAST),
        *between,
        Column(name="limits and budgets", spare=1),
        Column(name="declared in", shape=Shape.WHOLE, spare=5),
    )


def run_show(remote: Remote, noun: Noun, object_id: str, *, as_json: bool) -> None:
    """One, with all that is not as by default."""
    say_object(asked(remote, "GET", path_of(noun, object_id)), as_json=as_json)


def run_create(remote: Remote, noun: Noun, new: Changes, *, as_json: bool) -> None:
    """Make one."""
    answer = asked(remote, "POST", f"/{noun.plural}", new)
    if as_json:
        say_json(answer)
    else:
        note(f"made {noun.plural[:-1]} {_item(answer).id}")


def run_set(remote: Remote, noun: Noun, object_id: str, changes: Changes, *, as_json: bool) -> None:
    """Change what was given, and show it. Raises InvalidRequest where nothing was."""
    if changes == Changes():
        raise InvalidRequest(f"nothing was given to change; `trunkline {noun.plural} set --help` lists what can be")
    say_object(asked(remote, "PATCH", path_of(noun, object_id), changes), as_json=as_json)


def run_delete(remote: Remote, noun: Noun, object_id: str) -> None:
    """It is gone when this returns."""
    asked(remote, "DELETE", path_of(noun, object_id))
    note(f"deleted {noun.plural[:-1]} {object_id}")


def path_of(noun: Noun, object_id: str, *more: str) -> str:
    """Below the admin API's base. Ids may have slashes."""
    return "/".join(["", noun.plural, *(quote(part, safe="") for part in (object_id, *more))])


def asked(remote: Remote, method: str, path: str, body: object = None) -> bytes:
    """One request. Raises TrunklineError."""
    return asyncio.run(_asked(remote, method, path, body))


def say_object(answer: bytes, *, as_json: bool) -> None:
    """One object as it is now."""
    if as_json:
        say_json(answer)
        return
    say_fields(_fields(_item(answer)))


async def _asked(remote: Remote, method: str, path: str, body: object) -> bytes:
    async with connected(remote) as gateway:
        return await gateway.ask(method, path, body)


async def _all(remote: Remote, path: str, query: Pairs) -> list[msgspec.Raw]:
    async with connected(remote) as gateway:
        return await gateway.all(msgspec.Raw, path, query)


def _item(answer: bytes) -> Managed:
    return msgspec.json.decode(answer, type=Managed)


def _row(item: Managed, noun: Noun) -> Sequence[str]:
    cells = {
        "org": item.org,
        "weight": f"{item.weight:g}" if item.weight is not None else "",
        "team": item.team,
        "project": item.project or "",
        "secret": told_secrets(item.secrets),
        "scopes": ", ".join(item.scopes),
        "state": state_of(item),
    }
    bounds = told_bounds(item.limits, item.budgets)
    return (item.id, *(cells[name] for name in noun.columns), bounds, "file" if item.declared else "")


def state_of(item: Managed) -> str:
    """Of a key."""
    if item.disabled:
        return "disabled"
    return f"until {item.expires_at:%Y-%m-%d %H:%M}" if item.expires_at is not None else "on"


def told_secrets(marks: Sequence[Mark]) -> str:
    """The last letters of what works."""
    return " ".join(f"…{mark.last_four}" for mark in marks)


def _fields(item: Managed) -> list[tuple[str, str]]:
    return [
        ("id", item.id),
        ("org", item.org),
        ("team", item.team),
        ("project", item.project or ""),
        ("weight", f"{item.weight:g}" if item.weight is not None else ""),
        ("state", state_of(item) if item.object == "key" else ""),
        ("secrets", ", ".join(_told_mark(mark) for mark in item.secrets)),
        ("scopes", ", ".join(item.scopes)),
        ("models", ", ".join(item.models) or ("none" if item.object == "key" else "")),
        ("networks", ", ".join(item.networks)),
        ("tags", ", ".join(item.tags)),
        ("limits and budgets", told_bounds(item.limits, item.budgets)),
        ("priority", item.priority),
        ("policy", item.policy or ""),
        ("version", str(item.version) if item.version else ""),
        ("declared in", "the configuration file" if item.declared else ""),
        ("made", f"{item.created_at:%Y-%m-%d %H:%M}" if item.created_at else ""),
        ("changed", f"{item.updated_at:%Y-%m-%d %H:%M}" if item.updated_at else ""),
    ]


def _told_mark(mark: Mark) -> str:
    until = f" until {mark.expires_at:%Y-%m-%d %H:%M}" if mark.expires_at is not None else ""
    return f"…{mark.last_four}{until}"
