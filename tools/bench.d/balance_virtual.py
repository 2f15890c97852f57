"""The rules that spread requests over replicas, on many traces in virtual time: the same every time, in seconds.

The engines of _replicas.py step on a clock that jumps, and the gateway's own bookkeeping (reports every 100 ms, prefix
index, requests in flight) and rules choose between them; there is no network and no process. So what a rule is worth
can be told from chance, for which `tools/bench balance` has too few requests. Figures are means over the seeds.
"""

import argparse
import heapq
import json
import random
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import _replicas
import _traces

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_gateway.replicas.replica import Flight, Replica, Wanted
from trunkline_gateway.replicas.wanting import wanted_of
from trunkline_kit.clock import ManualClock
from trunkline_policy.replicas import RULES, Asked, Rule

REPORT_S = 0.1
TOKENS_PER_BYTE = 1 / _replicas.TOKEN_BYTES
SALT = b"tenant"


@dataclass(eq=False)
class Stay:
    """One request, from when it came."""

    came_s: float
    job: _replicas.Job
    flight: Flight
    first_s: float = 0.0


@dataclass(order=True)
class Event:
    at_s: float
    number: int
    replica: int = field(compare=False)
    """Whose step ends; -1 for a request that comes."""


class Fleet:
    """Replicas and the gateway before them."""

    def __init__(self, trace: _traces.Trace, rule: Rule, seed: int) -> None:
        self._rule = rule
        self._dice = random.Random(seed)
        self._clock = ManualClock()
        self._engines = [_replicas.Engine(slowness) for slowness in trace.slowness]
        self._replicas = [Replica(str(index), None, self._clock) for index in range(len(self._engines))]
        self._stays: list[list[Stay]] = [[] for _ in self._engines]
        self._busy = [False] * len(self._engines)
        self._reported_s = -REPORT_S
        self._events: list[Event] = []
        self._number = 0
        self._asked = count()
        self._now_s = 0.0

    def play(self, requests: list[_traces.Request]) -> Iterator[Stay]:
        """Every request, in the order in which they end."""
        for request in requests:
            self._push(request.at_s, -1)
        coming = iter(requests)
        while self._events:
            event = heapq.heappop(self._events)
            self._clock.advance(event.at_s - self._now_s)
            self._now_s = event.at_s
            self._report()
            if event.replica < 0:
                self._send(next(coming))
            else:
                yield from self._stepped(event.replica)

    def _push(self, at_s: float, replica: int) -> None:
        self._number += 1
        heapq.heappush(self._events, Event(at_s, self._number, replica))

    def _report(self) -> None:
        """What has changed is said every so often; here at the first event after that."""
        if self._now_s - self._reported_s >= REPORT_S:
            self._reported_s = self._now_s
            for replica, engine in zip(self._replicas, self._engines, strict=True):
                replica.report(engine.load())

    def _send(self, request: _traces.Request) -> None:
        asked = pb.GenerateRequest(cache_salt=SALT, messages_json=json.dumps(request.body()["messages"]).encode())
        wanted = wanted_of(asked, TOKENS_PER_BYTE)
        index = self._chosen(wanted)
        job = _replicas.job_of(f"{request.shared}\n{request.own}".encode(), request.answer)
        self._stays[index].append(Stay(self._now_s, job, Flight(self._replicas[index], wanted)))
        self._engines[index].add(job)
        self._step(index)

    def _chosen(self, wanted: Wanted) -> int:
        now_s = self._clock.monotonic_s()
        seen = [replica.seen(wanted, now_s) for replica in self._replicas]
        asked = Asked(tokens=wanted.tokens, key=wanted.key, number=next(self._asked))
        return self._rule(asked, seen, self._dice.random)

    def _step(self, index: int) -> None:
        engine = self._engines[index]
        if not self._busy[index] and (engine.queue or engine.filling or engine.decoding):
            self._busy[index] = True
            self._push(self._now_s + engine.step() * engine.slowness, index)

    def _stepped(self, index: int) -> Iterator[Stay]:
        self._busy[index] = False
        for stay in self._stays[index]:
            if stay.job.made and not stay.first_s:
                stay.first_s = self._now_s
                stay.flight.begun()
        self._engines[index].tell()
        over = [stay for stay in self._stays[index] if stay.job.made >= stay.job.answer]
        self._stays[index] = [stay for stay in self._stays[index] if stay not in over]
        for stay in over:
            stay.flight.over(complete=True)
        yield from over
        self._step(index)


def measured(trace: _traces.Trace, rule: Rule, seconds: float, seed: int) -> dict[str, float]:
    """Time to the first token, ms, and the share of prompts that was in the cache."""
    stays = list(Fleet(trace, rule, seed).play(trace.requests(seconds, random.Random(seed))))
    first_ms = sorted((stay.first_s - stay.came_s) * 1000 for stay in stays)
    share = sum(stay.job.cached for stay in stays) / sum(stay.job.tokens for stay in stays)
    at = {f"p{percent}_ms": first_ms[len(first_ms) * percent // 100] for percent in (50, 90, 99)}
    return {**at, "mean_ms": statistics.mean(first_ms), "cached_share": share}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench balance_virtual", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="of each trace (20)")
    parser.add_argument("--seeds", type=int, default=16, metavar="N", help="traces of each kind (16)")
    parser.add_argument("--only", default=",".join(RULES), metavar="NAMES", help="comma-separated rules")
    parser.add_argument("--traces", default=",".join(_traces.TRACES), metavar="NAMES", help="comma-separated traces")
    options = parser.parse_args(argv)
    rows = []
    for trace in options.traces.split(","):
        for name in options.only.split(","):
            runs = [
                measured(_traces.TRACES[trace], RULES[name], options.seconds, seed) for seed in range(options.seeds)
            ]
            means = {figure: round(statistics.mean(run[figure] for run in runs), 2) for figure in runs[0]}
            rows.append({"trace": trace, "rule": name, **means})
            print(json.dumps(rows[-1]), file=sys.stderr)
    print(json.dumps({"bench": "balance_virtual", "rows": rows}) if options.json else table(rows))
    return 0


def table(rows: list[dict[str, object]]) -> str:
    lines = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
