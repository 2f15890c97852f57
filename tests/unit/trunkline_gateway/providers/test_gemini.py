import pytest

from trunkline_gateway.dialects.gemini_models import abilities_of
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.gemini import GoogleWire, open_gemini, open_vertex
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError
from trunkline_kit.providers import GeminiProvider, VertexProvider

GEMINI = GoogleWire(place="/v1beta", folder="models")
VERTEX = GoogleWire(place="/v1beta1/projects/p/locations/eu", folder="publishers/google/models")


def target(model):
    return Target(model="m", provider="up", provider_model=model)


@pytest.mark.parametrize(
    ("wire", "model", "path"),
    [
        (GEMINI, "gemini-2.5-pro", "/v1beta/models/gemini-2.5-pro"),
        (GEMINI, "models/gemini-2.5-pro", "/v1beta/models/gemini-2.5-pro"),
        (GEMINI, "tunedModels/mine", "/v1beta/tunedModels/mine"),
        (GEMINI, "a b?c#d", "/v1beta/models/a%20b%3Fc%23d"),
        (VERTEX, "gemini-3-pro", "/v1beta1/projects/p/locations/eu/publishers/google/models/gemini-3-pro"),
        (VERTEX, "endpoints/123", "/v1beta1/projects/p/locations/eu/endpoints/123"),
    ],
)
def test_paths(wire, model, path):
    assert wire.path(target(model), as_stream=False) == f"{path}:generateContent"
    assert wire.path(target(model), as_stream=True) == f"{path}:streamGenerateContent?alt=sse"


async def test_a_key_needs_no_further_headers():
    assert await GEMINI.headers("/", b"") == ()


def test_a_models_abilities_are_its_own():
    assert GEMINI.abilities(target("gemini-2.0-flash")) == abilities_of("gemini-2.0-flash")


async def test_what_is_not_there_is_told_when_it_opens():
    clock = ManualClock()
    with pytest.raises(ConfigError):
        async with open_gemini("up", GeminiProvider(api_key="env:NOT"), {}, clock, 4):
            pass
    with pytest.raises(ConfigError):
        async with open_vertex("up", VertexProvider(project="p", credentials="env:K"), {"K": "{}"}, clock, 4):
            pass


async def test_a_model_is_not_probed():
    async with open_gemini("up", GeminiProvider(), {}, ManualClock(), 4) as provider:
        assert await provider.check("m") == "generativelanguage.googleapis.com, not probed"
