import json
from datetime import date

import pytest

from trunkline_gateway.ledger.invoices import Charge, Invoice
from trunkline_gateway.ledger.reconcile import Tolerance, compared
from trunkline_kit.errors import InvalidRequest, Unavailable
from trunkline_standalone.commands.reconcile import ReconcileOptions, invoice_of, run_reconcile, share_of, told

DAY = date(2026, 11, 24)


def options(tmp_path, text="usage_date_utc,model,cost_usd\n2026-11-24,m,1\n", **more):
    path = tmp_path / "bill.csv"
    path.write_text(text)
    return ReconcileOptions(invoice=path, provider="up", home=tmp_path / "home", **more)


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.5%", 0.005), ("0", 0.0), ("0.02", 0.02), ("100%", 1.0)])
def test_shares(text, share):
    assert share_of(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "a lot", "-1%", "101%", "nan", "inf"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(InvalidRequest, match="--tolerance"):
        share_of(text)


def test_an_invoice_is_read_with_other_names(tmp_path):
    found = invoice_of(options(tmp_path, same=("m=gpt-4o",)))
    assert dict(found.charges) == {(DAY, "gpt-4o"): Charge(cost_nusd=1_000_000_000)}


@pytest.mark.parametrize("text", ["m", "=x", "m="])
def test_names_without_a_counterpart_are_refused(tmp_path, text):
    with pytest.raises(InvalidRequest, match="--same"):
        invoice_of(options(tmp_path, same=(text,)))


def test_columns_may_be_said(tmp_path):
    found = invoice_of(options(tmp_path, "Day,Cost\n2026-11-24,2\n", columns="date=Day,amount=Cost"))
    assert dict(found.charges) == {(DAY, ""): Charge(cost_nusd=2_000_000_000)}


def test_a_file_that_is_not_there_is_said_with_what_it_was_for(tmp_path):
    with pytest.raises(InvalidRequest, match=r"cannot read the invoice .*none.csv: No such file"):
        invoice_of(ReconcileOptions(invoice=tmp_path / "none.csv", provider="up", home=tmp_path))


def test_the_invoice_is_read_before_the_database_is_looked_for(tmp_path):
    with pytest.raises(InvalidRequest, match="none of openai usage"):
        run_reconcile(options(tmp_path, "a,b\n"), {})
    with pytest.raises(Unavailable, match="no `trunkline up` runs"):
        run_reconcile(options(tmp_path), {})
    with pytest.raises(InvalidRequest, match="--format"):
        run_reconcile(options(tmp_path, form="pdf"), {})


def test_formats():
    charges = {(DAY, "m"): Charge(cost_nusd=1_000_000_000)}
    bill = Invoice(layout="test", charges=charges, rows=1, has_tokens=False, has_amounts=True, has_models=True)
    found = compared(bill, "up", {}, Tolerance(), "t")
    assert told(found, "").startswith("# Invoice of up")
    assert told(found, "csv").splitlines()[1].startswith("2026-11-24,m,1,0,-1,")
    tree = json.loads(told(found, "json"))
    assert (tree["agrees"], tree["pairs"][0]["theirs"]["cost_nusd"]) == (False, 1_000_000_000)
