import csv
import io
import tracemalloc
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.ledger.invoices import LAYOUTS, LINE_CHARS_MAX, Charge, canonical, layout_of, read_invoice
from trunkline_kit.errors import InvalidRequest
from trunkline_policy.money import nusd_of, usd_text

DAY = date(2026, 11, 24)
EPOCH = round(datetime(2026, 11, 24, tzinfo=UTC).timestamp())
OPENAI_USAGE = f"""\
start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,\
input_tokens,output_tokens,input_cached_tokens,input_audio_tokens,output_audio_tokens
{EPOCH},{EPOCH + 60},2026-11-24T00:00:00+00:00,2026-11-24T00:01:00+00:00,p,2,,,gpt-4o-mini-2024-07-18,,100,20,40,0,0
{EPOCH + 60},{EPOCH + 120},2026-11-24T00:01:00+00:00,2026-11-24T00:02:00+00:00,p,1,,,gpt-4o-mini-2024-07-18,,10,2,0,0,0
{EPOCH + 120},{EPOCH + 180},2026-11-24T00:02:00+00:00,2026-11-24T00:03:00+00:00,,,,,,,,,,,
"""
OPENAI_COSTS = f"""\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,project_id
{EPOCH},{EPOCH + 86400},2026-11-24T00:00:00,2026-11-25T00:00:00,,,,,,
{EPOCH},{EPOCH + 86400},2026-11-24T00:00:00,2026-11-25T00:00:00,0.5000000000000000,usd,1,t,"gpt-5-nano, input_tokens",p
{EPOCH},{EPOCH + 86400},2026-11-24T00:00:00,2026-11-25T00:00:00,0.25,usd,1,t,"gpt-5-nano, output_tokens",p
"""
ANTHROPIC_USAGE = """\
usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,\
usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens
2026-11-24,claude-haiku-4-5-20251001,k,Default,standard,≤ 200k,100,20,3,4,50
"""
ANTHROPIC_COSTS = """\
usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type
2026-11-24,Claude Haiku 4.5,Default,k,message,≤ 200k,input_no_cache,0.05,0.05,token
2026-11-24,Claude Haiku 4.5,Default,k,message,≤ 200k,output,0.02,0.02,token
"""


def read(text, layout=None, same=None):
    return read_invoice(io.StringIO(text, newline=""), "bill.csv", layout, same)


@pytest.mark.parametrize(
    ("text", "layout", "place", "charge"),
    [
        (OPENAI_USAGE, "openai usage", (DAY, "gpt-4o-mini"), Charge(input_tokens=110, output_tokens=22)),
        (OPENAI_COSTS, "openai costs", (DAY, "gpt-5-nano"), Charge(cost_nusd=750_000_000)),
        (ANTHROPIC_USAGE, "anthropic usage", (DAY, "claude-haiku-4-5"), Charge(input_tokens=127, output_tokens=50)),
        (ANTHROPIC_COSTS, "anthropic costs", (DAY, "claude-haiku-4-5"), Charge(cost_nusd=70_000_000)),
    ],
)
def test_known_exports_are_known_by_their_headers(text, layout, place, charge):
    invoice = read(text)
    assert (invoice.layout, dict(invoice.charges)) == (layout, {place: charge})
    assert invoice.has_tokens is bool(charge.input_tokens)
    assert invoice.has_amounts is bool(charge.cost_nusd)
    assert (invoice.has_models, invoice.days) == (True, (DAY, DAY))


def test_days_without_use_are_no_rows():
    assert (read(OPENAI_USAGE).rows, read(OPENAI_COSTS).rows) == (2, 2)
    nothing = read("start_time,end_time,amount_value\n1790467200,1790553600,\n")
    assert (nothing.rows, nothing.days) == (0, None)


def test_an_invoice_without_models_has_sums_of_days():
    invoice = read(f"start_time,amount_value\n{EPOCH},1\n{EPOCH + 3600},2\n")
    assert not invoice.has_models
    assert dict(invoice.charges) == {(DAY, ""): Charge(cost_nusd=3_000_000_000)}


@pytest.mark.parametrize(
    "model",
    [
        "Claude Haiku 4.5",
        "claude-haiku-4-5",
        "claude-haiku-4-5-20251001",
        "claude-haiku-4.5-latest",
        " CLAUDE-haiku-4-5 ",
    ],
)
def test_one_model_has_one_spelling(model):
    assert canonical(model) == "claude-haiku-4-5"


def test_other_names_can_be_said():
    assert canonical("Claude Sonnet 3.5", {"Claude Sonnet 3.5": "claude-3-5-sonnet-20241022"}) == "claude-3-5-sonnet"
    assert canonical("gpt-4o-2024-05-13") == canonical("gpt-4o")
    assert canonical("gpt-4-0613") != canonical("gpt-4")


def test_any_file_by_its_columns():
    layout = layout_of("date=Day, model=Name,input=In,input=Cached,output=Out,amount=Cost,currency=Cur")
    invoice = read('Day,Name,In,Cached,Out,Cost,Cur\n2026-11-24,m,"1,000",5,7,$1.50,USD\n', layout)
    assert dict(invoice.charges) == {(DAY, "m"): Charge(input_tokens=1005, output_tokens=7, cost_nusd=1_500_000_000)}


@pytest.mark.parametrize("text", ["", "date=a", "model=a,amount=b", "day=a,amount=b", "date=,amount=b", "date"])
def test_columns_that_say_too_little_are_refused(text):
    with pytest.raises(InvalidRequest, match="--columns"):
        layout_of(text)


def test_columns_that_are_not_there_are_named():
    with pytest.raises(InvalidRequest, match="no column cost; it has day, price"):
        read("Day,Price\n", layout_of("date=Day,amount=Cost"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("usage_date_utc,cost_usd\n2026-11-24,0.1\n2026-11-24,lots\n", "bill.csv line 3, column cost_usd: 'lots'"),
        ("usage_date_utc,cost_usd\nAugust,0.1\n", "line 2, column usage_date_utc: 'August' is no date"),
        ("usage_date_utc,cost_usd\n2026-11-24,NaN\n", "line 2, column cost_usd"),
        ("usage_date_utc,cost_usd\n2026-11-24,1e999\n", "line 2, column cost_usd: '1e999' is larger"),
        ('usage_date_utc,cost_usd\n2026-11-24,"1.234,56"\n', "line 2, column cost_usd: '1.234,56' is no number"),
        ("usage_date_utc,cost_usd\n2026-11-24,0x10\n", "line 2, column cost_usd"),
        (
            "start_time,amount_value,amount_currency\n1790467200,1,eur\n",
            "line 2, column amount_currency: 'eur' is not USD",
        ),
        (OPENAI_USAGE.replace(",100,20,", ",-1,20,"), "line 2, column input_tokens: '-1' is no number of tokens"),
        (OPENAI_USAGE.replace(",100,20,", ",1.5,20,"), "line 2, column input_tokens"),
        ("a,b\n1,2\n", "none of openai usage.*it has the columns a, b.*--columns"),
        ("", "no columns"),
        ("x" * (LINE_CHARS_MAX + 1), "line 1 has more than"),
        ('usage_date_utc,cost_usd\n"2026-11-24,1\n' + "x\n" * 70_000, "not CSV: field larger"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(text, message):
    with pytest.raises(InvalidRequest, match=message):
        read(text)


def test_what_is_not_utf_8_is_said(tmp_path):
    path = tmp_path / "bill.csv"
    path.write_bytes("usage_date_utc,cost_usd\n2026-11-24,€1\n".encode("utf-16"))
    with path.open(encoding="utf-8", newline="") as file, pytest.raises(InvalidRequest, match="UTF-8"):
        read_invoice(file, "bill.csv")


def test_a_mark_of_byte_order_is_no_part_of_the_first_column():
    assert read("\ufeffusage_date_utc,cost_usd\n2026-11-24,1\n").rows == 1


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-24", DAY),
        ("2026-11-24T23:59:59Z", DAY),
        ("2026-11-25T00:30:00+01:00", DAY),
        (str(EPOCH), DAY),
        (f"{EPOCH - 1}", date(2026, 11, 23)),
    ],
)
def test_days_are_of_utc(text, day):
    ((found, _),) = read(f"usage_date_utc,cost_usd\n{text},1\n").charges
    assert found == day


def test_an_invoice_of_too_many_places_is_refused():
    text = "usage_date_utc,model,cost_usd\n" + "".join(f"2026-11-24,m{n}x,1\n" for n in range(50_001))
    with pytest.raises(InvalidRequest, match="more than 50000"):
        read(text)


def test_a_long_invoice_takes_no_more_memory_than_its_sums():
    class Endless(io.TextIOBase):
        left = 100_000

        def readline(self, size=-1):
            if self.left == 100_000:
                line = "usage_date_utc,model,cost_usd\n"
            else:
                line = "2026-11-24,m,0.001\n" if self.left else ""
            self.left -= bool(line)
            return line

    tracemalloc.start()
    invoice = read_invoice(Endless(), "long.csv")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert invoice.rows == 99_999
    assert invoice.charges[DAY, "m"].cost_nusd == 99_999 * 1_000_000
    assert peak_bytes < 200_000


CHARGES = st.dictionaries(
    st.tuples(st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.sampled_from(["a", "b-2", "c"])),
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(-(10**12), 10**12)), min_size=1),
    max_size=5,
)


@given(CHARGES)
def test_rows_add_up_by_day_and_model(wanted):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["d", "m", "i", "o", "a"])
    for (day, model), rows in wanted.items():
        writer.writerows([day.isoformat(), model, i, o, usd_text(a)] for i, o, a in rows)
    found = read(out.getvalue(), layout_of("date=d,model=m,input=i,output=o,amount=a"))
    assert dict(found.charges) == {
        place: Charge(
            input_tokens=sum(i for i, _, _ in rows),
            output_tokens=sum(o for _, o, _ in rows),
            cost_nusd=sum(a for _, _, a in rows),
        )
        for place, rows in wanted.items()
    }


@given(st.text(max_size=200))
def test_whatever_is_read_it_is_an_invoice_or_an_error_in_words(text):
    for layout in (None, layout_of("date=a,amount=b")):
        for content in (text, "usage_date_utc,model,cost_usd\n" + text, "a,b\n" + text):
            try:
                read(content, layout)
            except InvalidRequest as error:
                assert "bill.csv" in error.message  # noqa: PT017


@given(st.integers(-(10**14), 10**14))
def test_amounts_are_taken_exactly(nusd):
    (charge,) = read(f"usage_date_utc,cost_usd\n2026-11-24,{usd_text(nusd)}\n").charges.values()
    assert charge.cost_nusd == nusd == nusd_of(usd_text(nusd))


def test_no_layout_hides_another():
    """The first that fits is taken: each must need something that those before do not all have."""
    for at, layout in enumerate(LAYOUTS):
        assert not any(set(layout.needs) >= set(earlier.needs) for earlier in LAYOUTS[:at])
