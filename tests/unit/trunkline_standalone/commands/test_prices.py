import pytest

from trunkline_gateway.directory.objects import Item, Kind
from trunkline_gateway.prices.rulings import declared_rulings, stored_rulings
from trunkline_gateway.prices.table import load_table
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.config import load
from trunkline_kit.errors import ConfigError, InvalidRequest, ModelNotFound
from trunkline_policy.costs import Price, Rates
from trunkline_standalone.commands.prices import (
    EffectiveOptions,
    effective,
    idle_lines,
    pricing_of,
    run_check,
    run_diff,
    run_effective,
    run_import,
    run_show,
    told_price,
)
from trunkline_testkit.parts import require_import

CONFIG = """
providers:
  openai: {kind: openai}
  own: {kind: worker}
models:
  mini: {deployments: [{provider: openai, model: gpt-4o-mini}]}
  small: {deployments: [{provider: own, model: smollm2}]}
prices:
  overrides:
    - {provider: own, gpu_second_usd: 0.001, gpu_requests: 4}
    - {provider: openai, model: "gpt-4o*", team: search, input_usd: 1, output_usd: 2}
"""
NOW_S = 1_780_000_000.0


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "trunkline.yaml"
    path.write_text(CONFIG)
    return path


def options(config, **more):
    return EffectiveOptions(config=config, home=config.parent / "home", **more)


def test_show_names_every_provider_that_lists_the_model(capsys):
    run_show("gpt-4o-mini", None, None)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert any(line.startswith("openai\tgpt-4o-mini\tinput $0.15, output $0.6, cache read $0.075") for line in lines)


def test_show_of_one_provider_with_steps(capsys):
    run_show("gemini-2.5-pro", "google", None)
    assert "above 200000 input tokens input $2.5" in capsys.readouterr().out


def test_show_of_a_model_with_sound(capsys):
    run_show("gpt-realtime", "openai", None)
    assert "audio input $" in capsys.readouterr().out


def test_show_of_a_model_that_nobody_lists():
    with pytest.raises(ModelNotFound, match="no price for nothing at openai"):
        run_show("nothing", "openai", None)


@pytest.mark.parametrize(("model", "team", "told"), [(None, "", "name a model"), ("m", "search", "--config")])
def test_show_says_what_it_lacks(model, team, told):
    with pytest.raises(InvalidRequest, match=told):
        run_show(model, None, None, team)


def test_every_rate_of_a_price_is_told():
    rates = Rates(**dict.fromkeys(Rates.__struct_fields__, 1000000000))
    text = told_price(Price(rates=rates, gpu_second_nusd=1_000_000, gpu_requests=4))
    assert text.count("$1") == len(Rates.__struct_fields__)
    assert text.endswith("GPU $0.001 a second, shared by 4")


def test_what_a_team_pays_is_shown_with_where_it_is_from(config, capsys):
    run_effective(options(config, team="search"), {})
    told = capsys.readouterr()
    rows = {line.split("\t")[0]: line.split("\t") for line in told.out.splitlines()}
    assert rows["mini"][3] == "input $1, output $2"
    assert rows["mini"][4].startswith("config/team=search/openai/gpt-4o-mini#")
    assert "GPU $0.001 a second" in rows["small"][3]
    assert "without overrides that were made through the admin API" in told.err
    run_effective(options(config, team="ads", model="mini"), {})
    assert f"{load_table().version}/openai" in capsys.readouterr().out


def test_overrides_of_the_directory_are_in_it(config):
    settings = load(config).settings
    item = Item(kind=Kind.PRICE, id="deal", spec=PriceOverride(provider="openai", input_usd=9), version=3)
    pricing = pricing_of(settings, stored_rulings([item]))
    (row,) = effective(settings, pricing, options(config, provider="openai"), NOW_S)
    assert row[3:] == ("input $9, output $0", row[4])
    assert row[4].startswith("directory/deal/")


def test_a_deployment_that_is_not_there_is_said(config):
    with pytest.raises(ModelNotFound, match="no deployment that is nothing"):
        run_effective(options(config, model="nothing"), {})


def test_a_configuration_where_everything_has_a_price(config, capsys):
    run_check(config, config.parent / "home", {})
    assert capsys.readouterr().out == f"{config}: all 2 deployments have a price\n"


def test_what_has_no_price_is_an_error_and_what_does_nothing_a_warning(tmp_path, capsys):
    path = tmp_path / "trunkline.yaml"
    path.write_text(
        CONFIG.replace("gpt-4o-mini}", "gpt-next}") + "    - {provider: own, model: other}\n    - {provider: own}\n"
    )
    with pytest.raises(ConfigError, match="1 of 2 deployments"):
        run_check(path, tmp_path / "home", {})
    out = capsys.readouterr().out
    assert "error: gpt-next at openai has no price" in out
    assert out.count("warning: ") == 3


def test_overrides_without_effect_are_told_why(config):
    settings = load(config).settings
    pricing = pricing_of(settings)
    assert list(idle_lines(declared_rulings(settings.prices), pricing)) == []
    item = Item(kind=Kind.PRICE, id="x", spec=PriceOverride(provider="openai", model="o9*", team="ads"), version=1)
    (line,) = idle_lines(stored_rulings([item]), pricing)
    assert line.startswith("directory/x: the override of o9* at openai for team ads has no effect")


def test_import_then_diff_is_empty(tmp_path, capsys):
    require_import("genai_prices")
    file = tmp_path / "prices.json"
    run_import(file)
    assert load_table(str(file)) == load_table()
    capsys.readouterr()
    run_diff(file, None)
    told = capsys.readouterr()
    assert (told.out, told.err.endswith(": 0 models differ\n")) == ("", True)


def test_diff_tells_both_prices(tmp_path, capsys):
    file = tmp_path / "prices.json"
    text = '{"source":"s","source_version":"1","licence":"l","providers":[{"id":"p","url":"x","models":[%s]}]}'
    model = '{"id":"m","match":{"equals":"m"},"prices":[{"price":{"rates":{"input":%d,"request_nusd":1000}}}]}'
    file.write_text(text % (model % 1_000_000_000))
    other = tmp_path / "other.json"
    other.write_text(text % (model % 2_000_000_000))
    run_diff(file, other)
    told = capsys.readouterr()
    header, line = told.out.splitlines()
    assert header == "provider\tmodel\tbefore\tafter"
    assert line == "p\tm\tinput $1, output $0, request $0.000001 each\tinput $2, output $0, request $0.000001 each"
    assert told.err == "s-1 to s-1: 1 models differ\n"
