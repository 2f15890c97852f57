"""`trunkline.guardrails.v1` over the checks: decode, call, encode."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from trunkline.guardrails.v1 import guardrails_service_pb2 as pb
from trunkline.guardrails.v1 import guardrails_service_pb2_grpc as rpc
from trunkline_guardrails.config import GuardrailsConfig
from trunkline_guardrails.detectors.secrets import SecretsDetector
from trunkline_guardrails.metrics import GuardrailsMetrics
from trunkline_guardrails.policy import EVERYTHING, Action, ActivePolicy, PolicyTable
from trunkline_guardrails.verdict import Finding, Part, Redaction, Verdict, check_input
from trunkline_kit.clock import Clock
from trunkline_kit.errors import InvalidRequest

_ACTIONS = {
    Action.ALLOW: pb.ACTION_ALLOW,
    Action.FLAG: pb.ACTION_FLAG,
    Action.REDACT: pb.ACTION_REDACT,
    Action.BLOCK: pb.ACTION_BLOCK,
}


class Checks:
    """Runs the checks and takes the time; long texts on a thread."""

    def __init__(self, config: GuardrailsConfig, clock: Clock) -> None:
        self._detector = SecretsDetector()
        self._config = config
        self._clock = clock

    async def input(self, policy: ActivePolicy, parts: list[Part]) -> tuple[Verdict, float]:
        """The verdict and the seconds it took."""
        started_s = self._clock.monotonic_s()
        work = partial(check_input, policy, parts, self._detector, self._config.findings_limit)
        short = sum(len(part.text) for part in parts) <= self._config.inline_limit_bytes
        verdict = work() if short or not policy.input else await asyncio.to_thread(work)
        return verdict, self._clock.monotonic_s() - started_s


class GuardrailsService(rpc.GuardrailsServiceServicer):
    """Holds one table of policies; a call sees one version of it from beginning to end."""

    def __init__(self, table: PolicyTable, checks: Checks, metrics: GuardrailsMetrics) -> None:
        self._table = table
        self._checks = checks
        self._metrics = metrics

    def use(self, table: PolicyTable) -> None:
        """Judge by `table` from the next call on."""
        self._table = table

    async def CheckInput(self, request: pb.CheckInputRequest, context: Any) -> pb.CheckInputResponse:  # noqa: ARG002, N802
        """Raises InvalidRequest for a policy that is not configured: nothing passes under a name that nobody knows."""
        table = self._table
        parts = [Part(part.path, part.text) for part in request.parts]
        policy = _policy(table, request.policy)
        verdict, took_s = await self._checks.input(policy, parts)
        self._metrics.checked(verdict, took_s)
        return pb.CheckInputResponse(
            action=_ACTIONS[verdict.action],
            findings=[_finding(finding) for finding in verdict.findings],
            redactions=[_redaction(redaction) for redaction in verdict.redactions],
            scanned_bytes=verdict.scanned_bytes,
            took_us=round(took_s * 1e6),
            policy_version=table.version,
            checks=[check.check for check in policy.input],
        )

    async def CheckOutput(  # noqa: N802
        self,
        request_iterator: AsyncIterator[pb.CheckOutputRequest],
        context: Any,  # noqa: ARG002
    ) -> AsyncIterator[pb.CheckOutputResponse]:
        """Releases every delta at once: this version has no checks of the output, and `ListPolicies` lists none.

        Raises InvalidRequest if the first message names no policy, or one that is not configured.
        """
        started = False
        async for message in request_iterator:
            if not started:
                _policy(self._table, message.start.policy)
                self._metrics.passed_through()
                started = True
            if message.delta:
                yield pb.CheckOutputResponse(
                    channel=message.channel, index=message.index, release=message.delta, action=pb.ACTION_ALLOW
                )
            if message.end:
                break
        if not started:
            raise InvalidRequest("the stream is empty; its first message names the policy in `start`", param="start")
        yield pb.CheckOutputResponse(action=pb.ACTION_ALLOW, end=True)

    async def ListPolicies(self, request: pb.ListPoliciesRequest, context: Any) -> pb.ListPoliciesResponse:  # noqa: ARG002, N802
        """The checks that run; what is configured and does not run is in the log and in a metric."""
        table = self._table
        policies = [
            pb.Policy(
                name=policy.name,
                input=[pb.PolicyCheck(check=check.check, on_fail=_ACTIONS[check.on_fail]) for check in policy.input],
            )
            for policy in table.policies.values()
            if policy.name != EVERYTHING
        ]
        return pb.ListPoliciesResponse(policies=policies, version=table.version)

    async def Reload(self, request: pb.ReloadRequest, context: Any) -> pb.ReloadResponse:  # noqa: ARG002, N802
        """Names what is in force; the process watches its configuration itself."""
        return pb.ReloadResponse(version=self._table.version)


def _policy(table: PolicyTable, name: str) -> ActivePolicy:
    if not name:
        raise InvalidRequest("policy is empty; name one of `policies:` in the configuration", param="policy")
    policy = table.policies.get(name)
    if policy is None:
        raise InvalidRequest(f"no policy `{name}`; see `policies:` in the configuration", param="policy")
    return policy


def _finding(finding: Finding) -> pb.Finding:
    return pb.Finding(
        check=finding.check,
        kind=finding.kind,
        action=_ACTIONS[finding.action],
        path=finding.path,
        start_chars=finding.start_chars,
        end_chars=finding.end_chars,
        score=1.0,
    )


def _redaction(redaction: Redaction) -> pb.Redaction:
    return pb.Redaction(
        path=redaction.path,
        start_chars=redaction.start_chars,
        end_chars=redaction.end_chars,
        replacement=redaction.replacement,
    )
