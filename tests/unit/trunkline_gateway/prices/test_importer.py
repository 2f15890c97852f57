from decimal import Decimal

import pytest

from trunkline_gateway.prices.importer import installed_table, table_of
from trunkline_gateway.prices.table import load_table
from trunkline_kit.errors import Unavailable
from trunkline_policy.costs import Counts, classified, cost_nusd
from trunkline_policy.money import nusd_of
from trunkline_testkit.parts import require_import

CASES = [
    ("openai", "gpt-4o", 1000, 400, 200),
    ("openai", "gpt-4o-mini", 12_345, 345, 678),
    ("anthropic", "claude-sonnet-4-5", 250_000, 100_000, 500),
    ("google", "gemini-2.5-pro", 300_000, 0, 1000),
    ("google", "gemini-2.5-pro", 150_000, 10_000, 1000),
    ("mistral", "mistral-large-latest", 777, 0, 333),
]


@pytest.fixture(scope="module")
def table():
    require_import("genai_prices", "the extra `prices`")
    return installed_table()


def test_the_shipped_table_is_the_installed_one(table):
    """So whoever raises the pin has to run `trunkline prices import`, and sees the difference."""
    assert load_table() == table


@pytest.mark.parametrize(("provider", "model", "prompt", "cached", "completion"), CASES)
def test_costs_are_those_of_the_source(table, provider, model, prompt, cached, completion):
    genai_prices = pytest.importorskip("genai_prices")
    usage = genai_prices.Usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=completion)
    theirs = genai_prices.calc_price(usage, model_ref=model, provider_id=provider).total_price
    place, entry = table.find(table.provider(provider), model)
    assert place.id == provider
    tokens = classified(Counts(prompt=prompt, cache_read=cached, completion=completion))
    ours = cost_nusd(tokens, entry.prices[-1].price if entry.prices[-1].since is None else _today(entry))
    assert abs(ours - nusd_of(Decimal(theirs))) <= 1


SOUND_AND_IMAGES = [
    ("openai", "gpt-4o-audio-preview", {"prompt": 1000, "audio_input": 700, "completion": 300, "audio_output": 200}),
    ("openai", "gpt-realtime", {"prompt": 1000, "audio_input": 600, "image_input": 100, "completion": 100}),
    ("google", "gemini-2.5-flash", {"prompt": 5000, "audio_input": 4000, "completion": 50}),
    ("google", "gemini-2.5-flash-image", {"prompt": 50, "completion": 1300, "image_output": 1290}),
]


@pytest.mark.parametrize(("provider", "model", "counts"), SOUND_AND_IMAGES)
def test_costs_of_sound_and_images_are_those_of_the_source(table, provider, model, counts):
    genai_prices = pytest.importorskip("genai_prices")
    told = Counts(**counts)
    usage = genai_prices.Usage(
        input_tokens=told.prompt,
        input_audio_tokens=told.audio_input,
        input_image_tokens=told.image_input,
        output_tokens=told.completion,
        output_audio_tokens=told.audio_output,
        output_image_tokens=told.image_output,
    )
    theirs = genai_prices.calc_price(usage, model_ref=model, provider_id=provider).total_price
    _, entry = table.find(table.provider(provider), model)
    assert abs(cost_nusd(classified(told), _today(entry)) - nusd_of(Decimal(theirs))) <= 1


def _today(entry):
    from datetime import UTC, datetime

    today = datetime.now(UTC).date()
    return next(one.price for one in reversed(entry.prices) if one.since is None or one.since <= today)


def test_models_without_a_price_for_text_are_left_out():
    require_import("genai_prices")
    from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider

    models = [
        ModelInfo(id="none", match=ClauseEquals(equals="none"), prices=ModelPrice()),
        ModelInfo(id="free", match=ClauseEquals(equals="free"), prices=ModelPrice(input_mtok=Decimal(0))),
    ]
    made = table_of([Provider(id="p", name="P", api_pattern="https://p", models=models)], "1")
    assert [one.id for one in made.providers[0].models] == ["free"]


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    with pytest.raises(Unavailable, match=r"trunkline\[prices\]"):
        installed_table()
