import msgspec
import pytest

from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import Budget, Limit, Period
from trunkline_standalone.commands import bounds
from trunkline_standalone.remote import Remote


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def ask(remote, method, path, body=None):
        calls.append((method, path, body))
        return b'{"id":"x"}'

    monkeypatch.setattr(bounds, "asked", ask)
    return calls


def test_what_was_set_is_said(asked, remote, capsys):
    bounds.run_set_limit(remote, "team", "t", Limit(requests=5, per_s=60), as_json=False)
    bounds.run_set_budget(remote, "key", "k", Budget(amount_usd=5, period=Period.DAY), as_json=True)
    assert capsys.readouterr().err.splitlines() == ["set requests:5/60s for team t", "set $5/day for key k"]


@pytest.fixture
def remote(tmp_path):
    return Remote(home=tmp_path)


@pytest.fixture
def rows(monkeypatch):
    def given(*entries):
        async def all_rows(remote, path, query):
            return [msgspec.Raw(msgspec.json.encode(entry)) for entry in entries]

        monkeypatch.setattr(bounds, "_rows", all_rows)

    return given


def test_one_limit_or_budget(asked, remote):
    bounds.run_set_limit(remote, "model", "a/b", Limit(tokens=5, per_s=1), as_json=False)
    bounds.run_remove_limit(remote, "team", "t", "requests", 0.5, as_json=False)
    bounds.run_remove_limit(remote, "team", "t", "requests", None, as_json=False)
    bounds.run_set_budget(remote, "key", "k", Budget(amount_usd=5, period=Period.DAY), as_json=True)
    bounds.run_remove_budget(remote, "org", "o", "day", as_json=True)
    assert [call[:2] for call in asked] == [
        ("PUT", "/models/a%2Fb/limits/tokens"),
        ("DELETE", "/teams/t/limits/requests?per_s=0.5"),
        ("DELETE", "/teams/t/limits/requests"),
        ("PUT", "/keys/k/budgets/day"),
        ("DELETE", "/orgs/o/budgets/day"),
    ]
    assert msgspec.to_builtins(asked[3][2]) == {"amount_usd": 5.0, "time_zone": "UTC"}
    with pytest.raises(InvalidRequest):
        bounds.noun_of("galaxy")


def test_limits_as_a_table(rows, remote, capsys):
    row = {"level": "team", "owner": "t", "requests": 5, "per_s": 60.0}
    rows(row, {**row, "requests": None, "concurrent": 5, "per_s": None, "each_end_user": True, "declared": True})
    bounds.run_limits(remote, (), as_json=False)
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split("\t") == ["team", "t", "requests", "5", "60 s", ""]
    assert second.split("\t") == ["team", "t (each end user)", "concurrent", "5", "", "file"]


def test_budgets_as_a_table(rows, remote, capsys):
    row = {"level": "team", "owner": "t", "amount_usd": 5, "period": "day", "time_zone": "UTC", "state": "unknown"}
    ends = "2026-01-02T00:00:00Z"
    rows(row, {**row, "state": "known", "used_usd": 1.25, "remaining_usd": 3.75, "period_ends_at": ends})
    bounds.run_budgets(remote, (), as_json=False)
    _, unknown, known = capsys.readouterr().out.splitlines()
    assert unknown.split("\t")[5:7] == ["?", "?"]
    assert known.split("\t")[5:8] == ["1.25", "3.75", "2026-01-02 00:00"]
    rows({**row, "state": "known", "amount_usd": 9e6, "used_usd": 1.8e-05, "remaining_usd": 8999999.999982})
    bounds.run_budgets(remote, (), as_json=False)
    cells = capsys.readouterr().out.splitlines()[1].split("\t")
    assert (cells[2], cells[5], cells[6]) == ("9000000", "0.000018", "8999999.999982")
    rows(row, row)
    bounds.run_budgets(remote, (), as_json=True)
    assert len(msgspec.json.decode(capsys.readouterr().out)) == 2
