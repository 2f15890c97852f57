"""Breakers and account cool-downs over all gateways, through Valkey: as hints, beside the requests.

Each gateway writes down what it has seen and reads once a second what the others have. Requests never wait for this;
while Valkey is away each gateway finds out for itself. Moments travel on Valkey's clock, so that no two gateways need
the same time. One that heard of an opening waits a little longer than the one that saw it: so that one probes first.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Mapping
from typing import NoReturn, cast

from redis.asyncio import Redis

from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.fleet.news import Kind, News, Report, decode_report, encode_report
from trunkline_kit.stores.valkey import DOWN

log = logging.getLogger(__name__)

NAME = "tl:fleet:news"
EVERY_S = 1.0
STALE_S = 30.0
"""So long after its end news are removed."""
STAGGER = 1.0
"""Of `EVERY_S`, and as much again by chance: how much longer it stays open who only heard of it."""


class Sharing:
    """Of one gateway process."""

    def __init__(self, client: Redis, fleet: Fleet, dice: random.Random, gateway: str = "") -> None:
        self._client = client
        self._fleet = fleet
        self._dice = dice
        self._gateway = gateway or secrets.token_hex(8)
        self._unsaid: dict[bytes, News] = {}
        self._heard: dict[bytes, Report] = {}
        """The latest of each subject that was listened to."""
        self._is_up = True
        self._hurry = asyncio.Event()

    def tell(self, news: News) -> None:
        """Others will hear of it soon. Never waits."""
        self._unsaid[news.subject] = news
        self._hurry.set()

    async def run(self) -> NoReturn:
        """Tell and listen until cancelled."""
        while True:
            try:
                await self.exchange()
            except DOWN as error:
                self._note(is_up=False, why=type(error).__name__)
            except Exception as error:
                # Hints are not worth a gateway. Said once, as long as it lasts.
                if self._is_up:
                    log.exception("breakers: telling and hearing failed unforeseen")
                self._note(is_up=False, why=type(error).__name__)
            else:
                self._note(is_up=True)
            await self._pause()

    async def exchange(self) -> None:
        """Once. Raises what the client raises where Valkey does not answer; what was not said then is said later."""
        seconds, micros = await self._client.time()
        ahead_s = seconds + micros / 1e6 - self._fleet.clock.monotonic_s()
        unsaid = dict(self._unsaid)
        pipe = self._client.pipeline(transaction=False)
        for subject, news in unsaid.items():
            pipe.hset(NAME, subject, encode_report(Report(self._gateway, news.moved(ahead_s))))
        pipe.hgetall(NAME)
        found = cast("Mapping[bytes, bytes]", (await pipe.execute())[-1])
        for subject, news in unsaid.items():
            if self._unsaid.get(subject) is news:
                del self._unsaid[subject]
        await self._listen(found, ahead_s)

    async def _listen(self, found: Mapping[bytes, bytes], ahead_s: float) -> None:
        now_s, stale = self._fleet.clock.monotonic_s() + ahead_s, []
        for subject, data in found.items():
            report = decode_report(data)
            if report is None or report.news.until_s < now_s - STALE_S:
                stale.append(subject)
            elif report.gateway != self._gateway and self._heard.get(subject) != report:
                self._heard[subject] = report
                self._hear(report.news.moved(-ahead_s))
        self._heard = {subject: report for subject, report in self._heard.items() if subject in found}
        if stale:
            await self._client.hdel(NAME, *stale)

    def _hear(self, news: News) -> None:
        if news.kind is not Kind.CLOSED and news.until_s <= self._fleet.clock.monotonic_s():
            return
        if news.kind is Kind.OPENED:
            stagger_s = EVERY_S * STAGGER * (1 + self._dice.random())
            news = News(news.kind, news.place, news.at_s, news.until_s + stagger_s)
        self._fleet.meters.hinted(news.kind.value, taken=self._fleet.hear(news))

    async def _pause(self) -> None:
        """Until there is something to tell, or others have had time to; never in step with them."""
        try:
            async with asyncio.timeout(EVERY_S * (0.75 + 0.5 * self._dice.random())):
                await self._hurry.wait()
        except TimeoutError:
            return
        finally:
            self._hurry.clear()

    def _note(self, *, is_up: bool, why: str = "") -> None:
        self._fleet.meters.sharing_up.set(is_up)
        if self._is_up and not is_up:
            log.warning("breakers: Valkey does not answer (%s): each gateway finds out for itself", why)
        elif is_up and not self._is_up:
            log.info("breakers: news of other gateways come through again")
        self._is_up = is_up
