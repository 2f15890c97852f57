"""What this process has seen of every deployment: health, load and speed. Lives as long as the gateway.

A deployment is a provider and its name of a model, whatever public names lead to it and however often the configuration
is read again. Rules are in `trunkline_policy`; here they are applied at the moments things happen. What other gateways
find out is heard as a hint, see `sharing.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from trunkline_gateway.fleet.meters import ACCOUNT, FAILURES, OUTLIER, TOLD, FleetMeters, Place
from trunkline_gateway.fleet.news import Kind, News
from trunkline_kit.clock import Clock
from trunkline_kit.errors import TrunklineError, UpstreamUnavailable
from trunkline_kit.settings import Breaker as BreakerSettings
from trunkline_policy import breakers, outliers
from trunkline_policy.breakers import Phase
from trunkline_policy.faults import OF_THE_DEPLOYMENT, FailureKind
from trunkline_policy.hedging import FirstTokenTimes
from trunkline_policy.retries import AWAKE, Rest

LIMITED_S = 1.0
"""How long a provider over its rate is left alone if it names no time itself."""
ACCOUNT_S = 30.0
"""How long an account without credit or with the wrong credentials is: whoever mends it is not kept waiting longer."""
_LATEST_SHARE = 0.1
"""What the latest duration counts for in the usual one."""


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """How the deployments of one model are watched."""

    breaker: breakers.Terms = breakers.Terms()
    outlier: outliers.Terms | None = outliers.Terms()
    peers: tuple[Place, ...] = ()
    """All deployments of the model, to compare one with the others."""
    last_resort: bool = True


def watch_of(settings: BreakerSettings, peers: Sequence[Place], probe_s: float) -> Watch:
    """`probe_s`: how long a probe may take to show a first sign of life."""
    terms = breakers.Terms(
        failures=settings.failures,
        open_s=settings.open_s,
        open_s_max=max(settings.open_s, settings.open_s_max),
        probe_s=probe_s,
    )
    outlier = outliers.Terms() if settings.outliers and len(peers) > 1 else None
    return Watch(breaker=terms, outlier=outlier, peers=tuple(peers), last_resort=settings.last_resort)


class Reason(msgspec.Struct, frozen=True):
    """Why a deployment is not asked. Not the error itself: its traceback would keep the request that met it."""

    kind: type[TrunklineError]
    message: str

    @classmethod
    def of(cls, error: TrunklineError) -> "Reason":
        return cls(type(error), error.message)


class Known:
    """Of one deployment."""

    __slots__ = ("breaker", "in_flight", "is_hearsay", "record", "since_s", "times", "usual_s", "why", "worked_s")

    def __init__(self) -> None:
        self.breaker = breakers.SOUND
        self.is_hearsay = False
        """The breaker is open because of what another gateway saw."""
        self.since_s = 0.0
        """When the breaker was first opened by what was seen here, without a success since; 0.0 for never."""
        self.worked_s = 0.0
        """When the latest attempt that has worked was sent; 0.0 for never."""
        self.record = outliers.UNSEEN
        self.times = FirstTokenTimes()
        self.in_flight = 0
        self.usual_s = 0.0
        """Seconds that a request takes, from sending it to its end; 0.0 where nothing is known."""
        self.why: Reason | None = None
        """Its last failure."""

    def lasted(self, took_s: float) -> None:
        self.usual_s = self.usual_s + (took_s - self.usual_s) * _LATEST_SHARE if self.usual_s else took_s


class Account(msgspec.Struct, frozen=True):
    """A provider whose credentials or credit were refused."""

    until_s: float
    why: Reason


def _nobody(_: News) -> None:
    """Where there is only one gateway."""


class Fleet:
    """All deployments. Moments are on the clock's monotonic hand."""

    def __init__(self, clock: Clock, meters: FleetMeters) -> None:
        self.clock = clock
        self.meters = meters
        self._known: dict[Place, Known] = {}
        self._accounts: dict[str, Account] = {}
        self.places: frozenset[Place] = frozenset()
        """All of the configuration."""
        self.tell: Callable[[News], None] = _nobody
        """Told what other gateways should hear."""
        meters.watch(self.states)

    def of(self, place: Place) -> Known:
        """What is known of one; never None."""
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = Known()
        return known

    def rest_of(self, place: Place, now_s: float) -> Rest:
        """Until when it is better left alone."""
        known, account = self._known.get(place), self._accounts.get(place[0])
        if known is None and account is None:
            return AWAKE
        breaker = known.breaker if known is not None else breakers.SOUND
        if breaker is breakers.SOUND and account is None:
            return AWAKE
        told_s = max(breaker.told_until_s, account.until_s if account is not None else 0.0)
        return Rest(told_s if told_s > now_s else 0.0, breaker.tripped_until_s(now_s))

    def send(self, place: Place, watch: Watch) -> "Flight":
        """A request goes there now."""
        known, now_s = self.of(place), self.clock.monotonic_s()
        known.breaker = breakers.admitted(known.breaker, now_s, watch.breaker)
        known.in_flight += 1
        return Flight(self, place, known, watch, now_s)

    def cool_account(self, provider: str, why: TrunklineError, asked_s: float | None) -> None:
        """Nobody is to use this account for a while: never for less than was asked before."""
        until_s = self.clock.monotonic_s() + (ACCOUNT_S if asked_s is None else asked_s)
        before = self._accounts.get(provider)
        account = self._accounts[provider] = Account(max(until_s, before.until_s if before else 0.0), Reason.of(why))
        self.meters.cooled(provider, ACCOUNT)
        self.tell(News(Kind.ACCOUNT, (provider, ""), self.clock.monotonic_s(), account.until_s))

    def hear(self, news: News) -> bool:
        """Whether this is taken for true: what has worked here since another gateway saw it counts for more.

        What it closes is only what was opened on hearsay: a deployment may be out of reach from here alone. For the
        same reason, what is open is not kept open for longer: then an attempt from here decides.
        """
        if news.kind is Kind.ACCOUNT:
            return self._hear_account(news)
        if news.place not in self.places:
            return False
        known = self.of(news.place)
        if news.kind is Kind.CLOSED:
            was_open = known.is_hearsay and news.at_s >= known.breaker.opened_s
            if was_open:
                known.breaker = breakers.succeeded(known.breaker, news.at_s)
                known.is_hearsay = False
            return was_open
        if known.worked_s >= news.at_s or known.breaker.openings:
            return False
        known.breaker, known.is_hearsay = breakers.heard(known.breaker, news.at_s, news.until_s), True
        return True

    def _hear_account(self, news: News) -> bool:
        provider = news.place[0]
        ours = [known for place, known in self._known.items() if place[0] == provider]
        before = self._accounts.get(provider)
        is_known = any(place[0] == provider for place in self.places)
        if not is_known or any(known.worked_s >= news.at_s for known in ours):
            return False
        if before is None or before.until_s < news.until_s:
            said = f"provider {provider!r} does not take our credentials, or has no credit left"
            why = Reason(UpstreamUnavailable, said)
            self._accounts[provider] = Account(news.until_s, why if before is None else before.why)
        return True

    def judge(self, place: Place, watch: Watch) -> None:
        """Put it out if it does markedly worse than the model's other deployments, and enough of those are left."""
        terms, known = watch.outlier, self.of(place)
        if terms is None:
            return
        now_s = self.clock.monotonic_s()
        others = [self.of(peer) for peer in watch.peers if peer != place]
        if not outliers.stands_out(known.record, [other.record for other in others], terms, now_s):
            return
        standing = 1 + sum(other.breaker.phase(now_s) is Phase.CLOSED for other in others)
        if known.breaker.phase(now_s) is Phase.CLOSED and outliers.may_put_out(standing, len(watch.peers), terms):
            known.breaker = breakers.opened(known.breaker, now_s, watch.breaker)
            known.record = outliers.put_out(known.record)
            self.opened(place, OUTLIER)

    def opened(self, place: Place, cause: str) -> None:
        """By what was seen here. Others are told since when: a probe that fails is nothing new to who saw it work."""
        known = self.of(place)
        if known.is_hearsay or known.breaker.openings == 1:
            known.since_s = known.breaker.opened_s
        known.is_hearsay = False
        self.meters.opened(place, cause)
        self.tell(News(Kind.OPENED, place, known.since_s, known.breaker.open_until_s))

    def refusal(self, places: Iterable[Place]) -> TrunklineError:
        """What a caller is told when none of these may be asked now: why, of the one that may be asked soonest."""
        now_s = self.clock.monotonic_s()
        ready_s, place = min((self._ready_s(place, now_s), place) for place in places)
        account, wait_s = self._accounts.get(place[0]), max(0.0, ready_s - now_s)
        why = account.why if account is not None and account.until_s > now_s else self.of(place).why
        if why is None:
            return UpstreamUnavailable("no deployment of this model may be asked now", retry_after_s=wait_s)
        return why.kind(f"{why.message}; not asked again for {max(wait_s, 0.001):.3g} s", retry_after_s=wait_s)

    def keep(self, places: Iterable[Place]) -> None:
        """Forget all others: the configuration has changed."""
        kept = self.places = frozenset(places)
        # Requests that are still at one that has gone hold what is known of it themselves.
        self._known = {place: known for place, known in self._known.items() if place in kept}
        providers = {provider for provider, _ in kept}
        self._accounts = {name: account for name, account in self._accounts.items() if name in providers}

    def forget(self, provider: str) -> None:
        """Its address or its key has changed: what happened with the old ones says nothing of it."""
        self._accounts.pop(provider, None)
        self._known = {place: known for place, known in self._known.items() if place[0] != provider}

    def states(self) -> Iterator[tuple[Place, Phase, int]]:
        """For metrics."""
        now_s = self.clock.monotonic_s()
        for place, known in list(self._known.items()):
            yield place, known.breaker.phase(now_s), known.in_flight

    def _ready_s(self, place: Place, now_s: float) -> float:
        rest = self.rest_of(place, now_s)
        return max(rest.told_s, rest.tripped_s)


class Flight:
    """One request at one deployment. It has `answered`, `failed` or was `given_up`; then, sooner or later, it `landed`.

    One that has answered may still fail, or break, in the middle of its answer.
    """

    __slots__ = ("_fleet", "_known", "_landed", "_watch", "place", "sent_s")

    def __init__(self, fleet: Fleet, place: Place, known: Known, watch: Watch, sent_s: float) -> None:
        self._fleet = fleet
        self._known = known
        self._watch = watch
        self._landed = False
        self.place = place
        self.sent_s = sent_s

    def answered(self, *, is_first_token: bool) -> None:
        """It works: its first token is there, or its whole answer."""
        known = self._known
        took_s = self._fleet.clock.monotonic_s() - self.sent_s
        before, known.breaker = known.breaker, breakers.succeeded(known.breaker, self.sent_s)
        known.worked_s = max(known.worked_s, self.sent_s)
        if before.openings and not known.breaker.openings:
            known.is_hearsay = False
            now_s = self._fleet.clock.monotonic_s()
            self._fleet.tell(News(Kind.CLOSED, self.place, now_s, now_s))
        if is_first_token:
            known.times.add(took_s)
        self._see(ok=True, first_token_s=took_s if is_first_token else None)

    def failed(self, kind: FailureKind, why: TrunklineError) -> None:
        """The attempt is over. `why.retry_after_s` is what the provider asks to wait."""
        known, fleet, now_s = self._known, self._fleet, self._fleet.clock.monotonic_s()
        if kind is FailureKind.SILENT:
            known.times.add(now_s - self.sent_s)
        if kind is FailureKind.ACCOUNT:
            fleet.cool_account(self.place[0], why, why.retry_after_s)
        elif kind is FailureKind.LIMITED or why.retry_after_s is not None:
            wait_s = LIMITED_S if why.retry_after_s is None else why.retry_after_s
            known.why = Reason.of(why)
            known.breaker = breakers.told(known.breaker, now_s + wait_s)
            fleet.meters.cooled(self.place[0], TOLD)
        if kind in OF_THE_DEPLOYMENT:
            known.why = Reason.of(why)
            self.broke()
        else:
            known.breaker = breakers.abandoned(known.breaker, self.sent_s, self._watch.breaker)

    def broke(self) -> None:
        """It failed, be it in the middle of an answer."""
        known, now_s = self._known, self._fleet.clock.monotonic_s()
        before = known.breaker
        known.breaker = breakers.failed(before, self.sent_s, now_s, self._watch.breaker)
        if known.breaker.openings > before.openings:
            self._fleet.opened(self.place, FAILURES)
        self._see(ok=False, first_token_s=None)

    def given_up(self, *, outrun: bool = False) -> None:
        """We lost interest before it said anything: its caller left, or another one outran it."""
        known = self._known
        known.breaker = breakers.abandoned(known.breaker, self.sent_s, self._watch.breaker)
        if outrun:
            known.times.add(self._fleet.clock.monotonic_s() - self.sent_s)

    def landed(self, *, complete: bool = False) -> None:
        """It does not work on this request any more. Done twice it is done once."""
        if self._landed:
            return
        self._landed = True
        self._known.in_flight -= 1
        if complete:
            self._known.lasted(self._fleet.clock.monotonic_s() - self.sent_s)

    def settle(self, outcome: str) -> None:
        """The request it belonged to is over."""
        if outcome == "broken" and not self._landed:
            self.broke()
        self.landed(complete=outcome == "ok")

    def _see(self, *, ok: bool, first_token_s: float | None) -> None:
        terms = self._watch.outlier
        if terms is None:
            return
        known = self._known
        known.record = outliers.seen(
            known.record, self._fleet.clock.monotonic_s(), terms, ok=ok, first_token_s=first_token_s
        )
        if not ok or known.record.slowdown >= terms.slower_times:
            self._fleet.judge(self.place, self._watch)
