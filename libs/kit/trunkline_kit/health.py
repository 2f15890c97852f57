"""Whether this process serves: `grpc.health.v1` for machines that dial, `Readiness` for `/readyz` and people."""

# ruff: noqa: N802, ARG002 - names and parameters are the protocol's

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import msgspec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trunkline_kit.clock import Clock, SystemClock
from trunkline_kit.errors import TrunklineError

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # comes without types
    """The health service of one address, and the handle to set it. Starts as SERVING.

    Unlike the reference servicer it ends its watches on `close`: a graceful stop would wait for them until its grace
    is over.
    """

    def __init__(self) -> None:
        self._states = {"": _SERVING}
        self._closed = False
        self._changed = asyncio.Event()

    def set(self, *, serving: bool, service: str = "") -> None:
        """Say whether `service` (empty: the whole process) takes calls. Has no effect once closed."""
        if not self._closed:
            self._states[service] = _SERVING if serving else _NOT_SERVING
            self._announce()

    def close(self) -> None:
        """NOT_SERVING for good; watchers are told and let go."""
        self._states = dict.fromkeys(self._states, _NOT_SERVING)
        self._closed = True
        self._announce()

    def register(self, server: Any) -> None:
        """The registrar of this servicer."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        state = self._states.get(request.service)
        if state is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=state)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The state now, then each change of it, until the server stops."""
        last = None
        while True:
            changed, state = self._changed, self._states.get(request.service, _UNKNOWN)
            if state != last:
                last = state
                yield health_pb2.HealthCheckResponse(status=state)
            if self._closed:
                return
            await changed.wait()

    def _announce(self) -> None:
        announced, self._changed = self._changed, asyncio.Event()
        announced.set()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the process depends on, as last seen."""

    name: str
    up: bool
    required: bool
    """Whether the main job is impossible without it."""
    detail: str = ""


class ReadinessReport(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `/readyz`."""

    ready: bool
    parts: tuple[Part, ...]


Check = Callable[[], Awaitable[str | None]]
"""Returns a detail for people, or raises: TrunklineError, OSError or TimeoutError mean that the part is down."""


class _Registered(msgspec.Struct, kw_only=True):
    """A check and its last answer."""

    name: str
    check: Check
    required: bool
    cache_s: float
    checked_s: float = float("-inf")
    part: Part | None = None


class Readiness:
    """Named checks, each asked at most once in its `cache_s` seconds, however often `/readyz` is called."""

    def __init__(self, clock: Clock | None = None, timeout_s: float = 2.0) -> None:
        self._clock = clock or SystemClock()
        self._timeout_s = timeout_s
        self._checks: dict[str, _Registered] = {}
        self._one_at_a_time = asyncio.Lock()

    def add(self, name: str, check: Check, *, required: bool = True, cache_s: float = 1.0) -> None:
        """Ask `check` for the state of `name`. Raises ValueError if that name is taken."""
        if name in self._checks:
            raise ValueError(f"readiness check {name!r} exists already")
        self._checks[name] = _Registered(name=name, check=check, required=required, cache_s=cache_s)

    async def report(self) -> ReadinessReport:
        """Ask what is due, all at once, and say whether the process is fit for its main job."""
        async with self._one_at_a_time:
            async with asyncio.TaskGroup() as group:
                for entry in self._checks.values():
                    if self._clock.monotonic_s() - entry.checked_s >= entry.cache_s:
                        group.create_task(self._ask(entry))
            parts = tuple(entry.part for entry in self._checks.values() if entry.part is not None)
        return ReadinessReport(ready=all(part.up for part in parts if part.required), parts=parts)

    async def _ask(self, entry: _Registered) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                up, detail = True, await entry.check() or ""
        except TimeoutError:
            up, detail = False, f"no answer within {self._timeout_s:g} s"
        except (TrunklineError, OSError) as error:
            up, detail = False, str(error)
        entry.part = Part(name=entry.name, up=up, required=entry.required, detail=detail)
        entry.checked_s = self._clock.monotonic_s()
