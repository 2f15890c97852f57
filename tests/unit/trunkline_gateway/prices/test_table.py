from datetime import date

import pytest
from msgspec.structs import replace

from trunkline_gateway.prices.table import (
    FORMAT,
    DatedPrice,
    Match,
    Table,
    TableModel,
    TableProvider,
    differences,
    encode_table,
    load_table,
)
from trunkline_kit.errors import ConfigError
from trunkline_policy.costs import Price, Rates


def model(name, rate, **match):
    return TableModel(
        id=name, match=Match(**(match or {"equals": name})), prices=(DatedPrice(price=Price(rates=Rates(input=rate))),)
    )


def table(*models, **more):
    one = TableProvider(id="one", url=r"https://api\.one\.test", models=models)
    two = TableProvider(id="two", url=r"https://two\.test", models=(model("own", 1),), fallbacks=("one", "missing"))
    return Table(source="s", source_version="1", licence="MIT", providers=(one, two), **more)


def test_the_shipped_table_is_whole_and_small():
    shipped = load_table()
    assert shipped.version.startswith("genai-prices-")
    assert "MIT" in shipped.licence
    assert len(encode_table(shipped)) < 1 << 20
    assert sum(len(one.models) for one in shipped.providers) > 2000


def test_it_survives_a_file(tmp_path):
    path = tmp_path / "table.json"
    before = table(model("a", 5), model("b", 7, any=(Match(starts_with="b"), Match(regex="^x-[0-9]$"))))
    path.write_bytes(encode_table(before))
    assert load_table(str(path)) == before


@pytest.mark.parametrize(
    ("match", "fits", "not_fits"),
    [
        (Match(equals="GPT"), "gpt", "gpt4"),
        (Match(starts_with="gpt"), "gpt4", "a-gpt"),
        (Match(ends_with="mini"), "x-mini", "mini-x"),
        (Match(contains="o1"), "x-o1-y", "x"),
        (Match(regex=r"^o\d$"), "o3", "o33"),
        (Match(any=(Match(equals="a"), Match(equals="b"))), "b", "c"),
        (Match(all=(Match(starts_with="a"), Match(ends_with="b"))), "acb", "ac"),
        (Match(), None, "anything"),
    ],
)
def test_matches(match, fits, not_fits):
    assert fits is None or match.fits(fits)
    assert not match.fits(not_fits)


def test_a_provider_is_found_by_its_url_only_from_the_start():
    found = table(model("a", 1))
    assert found.provider_at("https://api.one.test/v1").id == "one"
    assert found.provider_at("http://proxy/?to=https://api.one.test") is None


def test_a_provider_offers_its_own_models_then_those_of_others():
    found = table(model("a", 5))
    two = found.provider("two")
    assert found.find(two, "OWN")[0].id == "two"
    assert found.find(two, "a")[0].id == "one"
    assert found.find(two, "z") is None


def test_differences_name_what_is_new_gone_and_changed():
    before = table(model("a", 5), model("b", 1))
    after = table(model("a", 6), model("c", 1))
    changes = {change.model: (bool(change.before), bool(change.after)) for change in differences(before, after)}
    assert changes == {"a": (True, True), "b": (True, False), "c": (False, True)}
    assert differences(before, replace(before, source_version="2")) == []


def test_dates_survive(tmp_path):
    dated = TableModel(
        id="a",
        match=Match(equals="a"),
        prices=(
            DatedPrice(price=Price(rates=Rates(input=1))),
            DatedPrice(since=date(2026, 1, 1), price=Price(rates=Rates())),
        ),
    )
    path = tmp_path / "t.json"
    path.write_bytes(encode_table(table(dated)))
    assert load_table(str(path)).providers[0].models[0] == dated


def test_a_table_of_the_first_format_can_still_be_read(tmp_path):
    path = tmp_path / "old.json"
    path.write_text('{"source":"s","source_version":"1","licence":"l","providers":[]}')
    assert load_table(str(path)).format == 1
    assert load_table().format == FORMAT


def test_a_table_of_a_later_format_is_refused_and_says_what_to_do(tmp_path):
    path = tmp_path / "new.json"
    path.write_text('{"source":"s","format":99,"what":"nobody knows yet"}')
    with pytest.raises(ConfigError, match=r"new\.json has format 99.*prices import"):
        load_table(str(path))


@pytest.mark.parametrize("content", [None, b"{", b'{"source": 1}'])
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path, content):
    path = tmp_path / "prices.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"prices\.json"):
        load_table(str(path))
