"""GET /admin/v1/usage: what was used and what it cost, as `trunkline usage` has it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from trunkline_gateway.admin.operations import Answer, Call, Operation, Route
from trunkline_gateway.admin.queries import Format, UsagePage
from trunkline_gateway.ledger.exports import MEDIA, exported
from trunkline_gateway.ledger.questions import DIMENSIONS, Asked, Query, query_of
from trunkline_gateway.ledger.report import Report, report
from trunkline_kit.clock import Clock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.tenants import Scope


class UsageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Usage as JSON: one line for each group, and the totals of all of them."""

    data: tuple[dict[str, Any], ...]
    totals: dict[str, Any]
    next: str | None = None
    note: str = ""
    object: str = "list"


class Reports:
    """The ledger's answers. `pool` None: of a gateway that keeps no books."""

    def __init__(self, pool: asyncpg.Pool | None, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def report(self, asked: Asked) -> Report:
        """Raises InvalidRequest, StoreUnavailable."""
        return await report(self._connected(), await self._query(asked))

    async def exported(self, asked: Asked, form: str) -> str:
        """In one of the ledger's formats. Raises InvalidRequest, StoreUnavailable."""
        query = await self._query(asked)
        return await exported(self._connected(), query, form)

    async def _query(self, asked: Asked) -> Query:
        now = datetime.fromtimestamp(self._clock.now_s(), UTC)
        # Time zones are files.
        return await asyncio.to_thread(query_of, asked, now)

    def _connected(self) -> asyncpg.Pool:
        if self._pool is None:
            raise StoreUnavailable("this gateway has no database, so nothing was written down; set stores.database")
        return self._pool


def usage_routes(reports: Reports) -> list[Route]:
    """One."""

    async def reported(call: Call) -> Answer:
        page = call.asked(UsagePage)
        form = page.format.value
        text = await reports.exported(asked_of(page), form)
        name = f'attachment; filename="usage.{"json" if page.format is Format.JSON else "csv"}"'
        headers = () if page.format is Format.JSON else (("content-disposition", name),)
        return Answer(body=text.encode(), media=MEDIA[form], headers=headers)

    operation = Operation(
        id="getUsage",
        method="GET",
        path="/usage",
        scope=Scope.ADMIN_READ,
        summary="Add up what was used and what it cost, by any dimension and time bucket.",
        tag="usage",
        query=UsagePage,
        answer=UsageAnswer,
        media=tuple(dict.fromkeys(media.partition(";")[0] for media in MEDIA.values())),
    )
    return [Route(operation, reported)]


def asked_of(page: UsagePage) -> Asked:
    """The ledger's question, with every filter that was given."""
    return Asked(
        by=tuple(name.strip() for name in page.by.split(",") if name.strip()),
        bucket=page.bucket or None,
        since=page.since,
        until=page.until or None,
        time_zone=page.time_zone,
        where=tuple((name, value) for name in DIMENSIONS for value in getattr(page, name)),
        limit=page.limit,
        after=page.after,
    )
