import pytest

from trunkline_gateway.prices.table import load_table
from trunkline_kit.errors import ModelNotFound
from trunkline_standalone.commands.prices import run_diff, run_import, run_show
from trunkline_testkit.parts import require_import


def test_show_names_every_provider_that_lists_the_model(capsys):
    run_show("gpt-4o-mini", None, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert any(line.startswith("openai\tgpt-4o-mini\tinput $0.15, output $0.6, cache read $0.075") for line in lines)


def test_show_of_one_provider_with_steps(capsys):
    run_show("gemini-2.5-pro", "google", None)
    assert "above 200000 input tokens input $2.5" in capsys.readouterr().out


def test_show_of_a_model_that_nobody_lists():
    with pytest.raises(ModelNotFound, match="no price for nothing at openai"):
        run_show("nothing", "openai", None)


def test_import_then_diff_is_empty(tmp_path, capsys):
    require_import("genai_prices")
    file = tmp_path / "prices.json"
    run_import(file)
    assert load_table(str(file)) == load_table()
    run_diff(file, None)
    assert capsys.readouterr().out.endswith("0 models differ\n")


def test_diff_tells_both_prices(tmp_path, capsys):
    file = tmp_path / "prices.json"
    text = '{"source":"s","source_version":"1","licence":"l","providers":[{"id":"p","url":"x","models":[%s]}]}'
    model = '{"id":"m","match":{"equals":"m"},"prices":[{"price":{"rates":{"input":%d,"request_nusd":1000}}}]}'
    file.write_text(text % (model % 1_000_000_000))
    other = tmp_path / "other.json"
    other.write_text(text % (model % 2_000_000_000))
    run_diff(file, other)
    first, last = capsys.readouterr().out.splitlines()
    assert first == "p\tm\tinput $1, output $0, request $0.000001 each\t->\tinput $2, output $0, request $0.000001 each"
    assert last == "s-1 to s-1: 1 models differ"
