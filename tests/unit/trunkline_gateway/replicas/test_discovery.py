"""Where replicas are: listed, or behind a name that is looked up again."""

import asyncio

import pytest

from trunkline_gateway.replicas.discovery import (
    MEMBERS_MAX,
    Listed,
    Named,
    bounded,
    dialled,
    look_up,
    source_of,
)
from trunkline_gateway.replicas.endpoint_slices import EndpointSlices, Members
from trunkline_kit.errors import ConfigError


class Names:
    """Answers look-ups from a list; the last answer again and again."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def __call__(self, host, port):
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


async def told_by(source, count):
    """What a source tells first."""
    told, enough = [], asyncio.Event()

    def tell(members):
        told.append(members)
        if len(told) == count:
            enough.set()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        following = group.create_task(source.follow(tell))
        await enough.wait()
        following.cancel()
    return told


@pytest.mark.parametrize(
    ("target", "addresses"),
    [
        ("ipv4:10.0.0.1:90,10.0.0.2:90", ("10.0.0.1:90", "10.0.0.2:90")),
        ("local:worker", ("local:worker",)),
        ("unix:/run/worker", ("unix:/run/worker",)),
        ("dns:///127.0.0.1:90", ("127.0.0.1:90",)),
        ("dns:///[::1]:90", ("dns:///[::1]:90",)),
        ("dns:///worker", ("dns:///worker",)),
    ],
)
def test_what_needs_no_look_up_is_a_list(target, addresses):
    assert source_of(target, {}) == Listed(addresses)


def test_a_name_is_looked_up_and_a_service_watched():
    named = source_of("dns:///workers.ai.svc:9090", {}, look_up)
    assert isinstance(named, Named)
    assert (named.host, named.port) == ("workers.ai.svc", 9090)
    assert isinstance(source_of("k8s:///ai/workers:grpc", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}), EndpointSlices)
    with pytest.raises(ConfigError, match="needs a pod"):
        source_of("k8s:///ai/workers:grpc", {})


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("10.0.0.1:90", "ipv4:10.0.0.1:90"),
        ("[fd00::1]:90", "ipv6:[fd00::1]:90"),
        ("local:worker", "local:worker"),
        ("dns:///worker", "dns:///worker"),
    ],
)
def test_addresses_are_dialled_as_they_are(address, target):
    assert dialled(address) == target


async def test_a_list_tells_once():
    told = []
    await Listed(("a", "b")).follow(told.append)
    assert told == [Members(frozenset({"a", "b"}))]


async def test_changes_are_told_and_outages_are_not():
    names = Names(["1:9"], OSError("no answer"), ["1:9"], ["1:9", "2:9"], ["2:9"])
    told = await told_by(Named("w", 9, names, every_s=0.0), 3)
    assert told == [Members(frozenset(one)) for one in (["1:9"], ["1:9", "2:9"], ["2:9"])]
    assert names.asked[0] == ("w", 9)


async def test_a_name_that_is_nowhere_has_no_replicas_until_it_has():
    told = await told_by(Named("w", 9, Names(OSError("unknown"), ["1:9"]), every_s=0.0), 2)
    assert told == [Members(frozenset()), Members(frozenset({"1:9"}))]


async def test_the_machines_own_resolver():
    assert "127.0.0.1:7" in await look_up("localhost", 7)


def test_there_are_never_too_many():
    many = frozenset(f"10.0.{number // 256}.{number % 256}:9" for number in range(MEMBERS_MAX + 9))
    kept = bounded(many, "w")
    assert len(kept) == MEMBERS_MAX
    assert bounded(many, "w") == kept < many
