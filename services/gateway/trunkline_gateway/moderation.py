"""Moderations in OpenAI's shape, judged by our own guardrails: what no check can tell is said to be unjudged."""

import asyncio
from collections.abc import Sequence

import grpc
import msgspec

from trunkline.guardrails.v1 import guardrails_service_pb2 as guard_pb
from trunkline_gateway.clients import Clients
from trunkline_gateway.moderation_types import (
    CATEGORIES,
    Judgement,
    ModerationAnswer,
    ModerationFinding,
    ModerationResult,
    Objections,
)
from trunkline_gateway.openai_types import ModerationControl, ModerationPart
from trunkline_gateway.providers.base import Call
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.turn import Turn
from trunkline_kit.errors import InvalidRequest, Unavailable, Unsupported
from trunkline_kit.settings import Policy

MODEL = "trunkline-guardrails"
EVERYTHING = "@all"
"""The policy of the guardrails that runs every check they have."""
JUDGE_S = 2.0
"""For one input."""
JUDGE_ALL_S = 10.0
"""For all inputs of a request."""
AT_ONCE = 8
"""Inputs of one request that are judged at a time."""
_RETRY_S = 1.0
_encode = msgspec.json.Encoder().encode

Texts = Sequence[tuple[str, str]]
"""Of one input: where each is in the request, and what it says."""


class Moderator:
    """Asks the guardrails. Holds nothing of a request."""

    def __init__(self, clients: Clients, meters: Meters) -> None:
        self._clients = clients
        self._meters = meters

    async def answer(self, turn: Turn, call: Call, policy: Policy | None) -> bytes:
        """Raises InvalidRequest for what cannot be judged, Unavailable where nobody judges: no verdict is made up."""
        control = call.control
        if not isinstance(control, ModerationControl):
            raise TypeError("only moderations are judged here")
        inputs = inputs_of(control)
        name = turn.principal.policy if policy is not None and policy.guardrails.input else None
        replies = await self._all_judged(turn, name or EVERYTHING, inputs)
        kinds = sorted({item.kind or item.check for reply in replies for item in reply.findings})
        turn.guardrails = f"flag:{','.join(kinds)}" if kinds else "allow"
        return _encode(
            ModerationAnswer(
                id=f"modr-{turn.request_id}",
                model=MODEL,
                results=[result_of(reply) for reply in replies],
                trunkline=Judgement(checks=sorted(replies[0].checks), version=replies[0].policy_version),
            )
        )

    async def _all_judged(self, turn: Turn, policy: str, inputs: list[Texts]) -> list[guard_pb.CheckInputResponse]:
        """In their order. Raises Unavailable for the first that cannot be judged, and when they take too long."""
        replies: list[guard_pb.CheckInputResponse] = []
        try:
            async with asyncio.timeout(JUDGE_ALL_S):
                for start in range(0, len(inputs), AT_ONCE):
                    async with asyncio.TaskGroup() as group:
                        asked = [
                            group.create_task(self._judged(turn, policy, texts))
                            for texts in inputs[start : start + AT_ONCE]
                        ]
                    replies += [task.result() for task in asked]
        except BaseExceptionGroup as failed:
            error = failed.exceptions[0]
            raise error from error.__cause__
        except TimeoutError as error:
            self._meters.check("guardrails", "unavailable")
            text = f"{_NOBODY}: {len(inputs)} inputs took longer than {JUDGE_ALL_S:g} s; send fewer at once"
            raise Unavailable(text, retry_after_s=_RETRY_S) from error
        return replies

    async def _judged(self, turn: Turn, policy: str, texts: Texts) -> guard_pb.CheckInputResponse:
        """One input at a time: what is behind too many findings is not looked at, and must not hide another input."""
        request = guard_pb.CheckInputRequest(
            policy=policy,
            parts=[guard_pb.InputPart(path=path, role="user", text=text) for path, text in texts],
            tenant=turn.principal.team,
            request_id=turn.request_id,
        )
        try:
            reply: guard_pb.CheckInputResponse = await self._clients.guardrails.CheckInput(request, timeout=JUDGE_S)
        except grpc.aio.AioRpcError as error:
            self._meters.check("guardrails", "unavailable")
            raise Unavailable(f"{_NOBODY}; try again", retry_after_s=_RETRY_S) from error
        self._meters.check("guardrails", guard_pb.Action.Name(reply.action).removeprefix("ACTION_").lower())
        failed = sorted({item.check for item in reply.findings if item.failed})
        if failed:
            raise Unavailable(f"{_NOBODY}: {', '.join(failed)} could not run; try again", retry_after_s=_RETRY_S)
        if reply.checks:
            return reply
        if policy == EVERYTHING:
            raise Unavailable(f"{_NOBODY}: they run no check at all")
        # All that this key's policy asks for is still to come.
        return await self._judged(turn, EVERYTHING, texts)


_NOBODY = "the guardrails cannot judge this now, and no verdict is made up"


def inputs_of(control: ModerationControl) -> list[Texts]:
    """A text, or each of several, is one input; parts are one together. Raises InvalidRequest, Unsupported."""
    given = control.input
    if isinstance(given, str):
        return [[("/input", given)]]
    texts = [item for item in given if isinstance(item, str)]
    if len(texts) == len(given):
        return [[(f"/input/{index}", text)] for index, text in enumerate(texts)]
    if texts:
        raise InvalidRequest("input is either texts or parts, not both", param="input")
    parts = [item for item in given if isinstance(item, ModerationPart)]
    return [[(f"/input/{index}/text", _text(part, index)) for index, part in enumerate(parts)]]


def _text(part: ModerationPart, index: int) -> str:
    if part.type != "text":
        text = f"the guardrails judge text only, and cannot see what is in {part.type!r}; leave it out"
        raise Unsupported(text, param=f"input[{index}].{part.type}")
    if part.text is None:
        raise InvalidRequest(f"missing required parameter: input[{index}].text", param=f"input[{index}].text")
    return part.text


def result_of(reply: guard_pb.CheckInputResponse) -> ModerationResult:
    """Flagged when any check objects. A category is set only by a finding that says it by name."""
    scores = dict.fromkeys(CATEGORIES, 0.0)
    for item in reply.findings:
        if item.kind in scores:
            scores[item.kind] = max(scores[item.kind], item.score)
    return ModerationResult(
        flagged=bool(reply.findings),
        categories={name: any(item.kind == name for item in reply.findings) for name in CATEGORIES},
        category_scores=scores,
        category_applied_input_types={name: ["text"] if scores[name] else [] for name in CATEGORIES},
        trunkline=Objections(
            action=guard_pb.Action.Name(reply.action).removeprefix("ACTION_").lower(),
            findings=[_finding(item) for item in reply.findings],
        ),
    )


def _finding(item: guard_pb.Finding) -> ModerationFinding:
    return ModerationFinding(
        check=item.check,
        kind=item.kind,
        action=guard_pb.Action.Name(item.action).removeprefix("ACTION_").lower(),
        param=item.path.strip("/").replace("/", "."),
        start_chars=item.start_chars,
        end_chars=item.end_chars,
        score=item.score,
    )
