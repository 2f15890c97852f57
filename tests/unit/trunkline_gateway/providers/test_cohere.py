"""How an account at Cohere is opened. Over sockets: tests/integration/test_gateway_cohere.py."""

import json
from types import SimpleNamespace

import pytest

from trunkline_gateway import body as bodies
from trunkline_gateway.dialects.cohere_embeddings import TEXTS_MAX
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import AttemptFailed, Call, Terms
from trunkline_gateway.providers.cohere import Embedding, open_cohere
from trunkline_gateway.surface import CONTROL_DECODERS, Surface
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError, UpstreamRefused, UpstreamUnavailable
from trunkline_kit.providers import CohereProvider


async def test_an_account():
    async with open_cohere("up", CohereProvider(api_key="env:KEY"), {"KEY": "k"}, ManualClock(), 4) as found:
        assert (found.kind, await found.check("m")) == ("cohere", "api.cohere.com, not probed")


async def test_a_key_that_is_not_there():
    with pytest.raises(ConfigError, match="env:GONE"):
        async with open_cohere("up", CohereProvider(api_key="env:GONE"), {}, ManualClock(), 4):
            pass


class Scripted:
    """An account whose calls end as they are told."""

    name = "up"

    def __init__(self, *ends):
        self._ends = list(ends)

    async def whole(self, path, body, terms):
        end = self._ends.pop(0)
        if isinstance(end, Exception):
            raise end
        count = len(json.loads(body)["texts"])
        said = {"embeddings": {"float": [[0.5]] * count}, "meta": {"billed_units": {"input_tokens": end}}}
        return json.dumps(said).encode()


class Bookkeeper:
    def __init__(self, owed):
        self.owed = owed

    def billed(self, usage):
        self.owed.append(usage.input_tokens)


async def embed(batches, *ends):
    """What came of it, and what was owed after each call."""
    body = json.dumps({"model": "m", "input": ["a"] * (TEXTS_MAX * (batches - 1) + 1)}).encode()
    control = bodies.decode(body, CONTROL_DECODERS[Surface.EMBEDDING])
    call = Call(surface=Surface.EMBEDDING, body=body, control=control, request_id="r")
    owed = []
    terms = Terms(connect_s=1, total_s=1, witness=Bookkeeper(owed))
    provider = Embedding(SimpleNamespace(kind="cohere"), Scripted(*ends))
    try:
        found = await provider.whole(call, Target("m", "up", "embed"), terms)
    except (AttemptFailed, UpstreamRefused) as error:
        found = error
    return found, owed


async def test_every_batch_is_owed_once_it_is_there():
    found, owed = await embed(3, 3, 4, 5)
    assert (found.usage.input_tokens, owed) == (12, [3, 7, 12])


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable("down")), FailureKind.BROKEN),
        (UpstreamRefused("too long"), FailureKind.UNFIT),
    ],
)
async def test_what_came_before_a_batch_that_failed_stays_owed(end, kind):
    found, owed = await embed(5, 3, 3, 3, 3, end)
    assert (found.kind, owed) == (kind, [3, 6, 9, 12])


async def test_a_first_batch_that_is_refused_costs_nothing():
    found, owed = await embed(2, UpstreamRefused("too long"))
    assert (type(found), owed) == (UpstreamRefused, [])
