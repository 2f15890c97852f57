"""What a gateway said, wrote and holds, while it had secrets that can be recognised: all of it, to be searched."""

import io
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from redis.asyncio import Redis

from trunkline_kit.logs import JsonFormatter, TextFormatter
from trunkline_testkit.canaries import Canaries, objects_of

AWKWARD = "p+/@ :"
"""What has to be quoted in a URL."""
OBJECTS_MIN = 300
"""A walk that finds fewer has not reached a gateway's inside."""


def fresh(prefix: str = "") -> str:
    """A secret that stands nowhere else."""
    return f"{prefix}{secrets.token_urlsafe(24)}"


class Scene:
    """The secrets, and everything that was seen outside of where they belong."""

    def __init__(self) -> None:
        self.secrets = {
            "provider key": fresh(),
            "provider key with a prefix": fresh("sk-proj-"),
            "file key": fresh("tl-"),
            "former file key": fresh("tl-"),
            "admin key": fresh("tl-"),
            "pepper": secrets.token_hex(32),
            "former pepper": secrets.token_hex(32),
            "database password": fresh(AWKWARD),
            "redis password": fresh(AWKWARD),
            "wrong key": fresh("tl-"),
            "password sent as a key": fresh(),
        }
        # The awkward beginning of a password may be changed or cut off on its way.
        rest = {f"rest of the {name}": value.removeprefix(AWKWARD) for name, value in self.secrets.items()}
        self.canaries = Canaries({**rest, **self.secrets})
        self.seen: list[tuple[str, str | bytes]] = []
        self.logs = io.StringIO()
        self.exporter = InMemorySpanExporter()
        self.metrics = CollectorRegistry()

    def __getitem__(self, name: str) -> str:
        return self.secrets[name]

    def add(self, name: str, value: str) -> None:
        """One more secret, made meanwhile."""
        self.secrets[name] = value
        self.canaries.add(name, value)

    def see(self, place: str, text: str | bytes) -> None:
        """Something that was said or written."""
        self.seen.append((place, text))

    async def see_reply(self, place: str, reply: aiohttp.ClientResponse) -> bytes:
        """A whole answer: status line, headers and body."""
        with suppress(aiohttp.ClientPayloadError):
            body = await reply.read()
            self.see(place, f"{reply.status} {list(reply.headers.items())}".encode() + body)
            return body
        return b""

    def see_what_it_holds(self, *roots: object) -> None:
        """The `repr` of everything that can be reached: one day somebody logs it."""
        count = 0
        for root in roots:
            for found in objects_of(root, "trunkline"):
                kind = type(found)
                if not kind.__module__.startswith("trunkline_testkit"):
                    count += 1
                    self.see(f"repr of {kind.__module__}.{kind.__qualname__}", repr(found))
        assert count > OBJECTS_MIN, "the walk has not reached the gateway's inside"

    def see_files(self, folder: Path) -> None:
        """What could not be delivered waits here."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.see("spool", path.read_bytes())

    def leaks(self) -> list[str]:
        """Every secret that was seen: which, in what form, where."""
        for span in self.exporter.get_finished_spans():
            self.see(f"span {span.name}", span.to_json())
        self.see("metrics", generate_latest(self.metrics))
        self.see("log", self.logs.getvalue())
        found: dict[tuple[str, str, str], str] = {}
        for place, text in self.seen:
            for leak in self.canaries.leaks(place, text):
                found.setdefault((leak.canary, leak.form, place), leak.around)
        return sorted(f"{canary}, {form}, in {place}: …{around}…" for (canary, form, place), around in found.items())


class _Unredacted(logging.Formatter):
    """What a line would be if nothing cleaned it: the redaction is the second line of defence, not the first."""

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in {"msg", "args"}}
        return f"{super().format(record)} {extra!r}"


@contextmanager
def watched_scene() -> Iterator[Scene]:
    """A scene that hears every line of every logger, from debug on."""
    made = Scene()
    root = logging.getLogger()
    handlers = [logging.StreamHandler(made.logs) for _ in range(3)]
    for handler, formatter in zip(handlers, (JsonFormatter(), TextFormatter(), _Unredacted()), strict=True):
        handler.setFormatter(formatter)
        root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    try:
        yield made
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)


async def see_postgres(scene: Scene, url: str) -> set[str]:
    """Every row of every table; the tables' names."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        for (name,) in tables:
            rows = await connection.fetch(f"SELECT t::text AS line FROM {name} t")  # noqa: S608 - names out of the catalogue
            scene.see(f"table {name}", "\n".join(row["line"] for row in rows))
        return {name for (name,) in tables}
    finally:
        await connection.close()


async def see_valkey(scene: Scene, url: str) -> None:
    """Every key, of whatever type."""
    async with Redis.from_url(url) as client:
        async for key in client.scan_iter():
            kind: bytes = await client.type(key)  # type: ignore[assignment]  # this client decodes nothing
            read: dict[str, Any] = {
                "string": client.get,
                "hash": client.hgetall,
                "zset": partial(client.zrange, start=0, end=-1),
                "set": client.smembers,
                "list": partial(client.lrange, start=0, end=-1),
                "stream": client.xrange,
            }
            scene.see(f"valkey {kind!r}", key + repr(await read[kind.decode()](key)).encode())
