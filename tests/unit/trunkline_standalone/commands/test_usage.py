from datetime import UTC, datetime

import pytest

from trunkline_gateway.ledger.exports import FOCUS_BY
from trunkline_gateway.ledger.report import Line, Query
from trunkline_kit.errors import InvalidRequest, Unavailable
from trunkline_standalone.commands.usage import UsageOptions, ledger_url, query_of, run_usage, told
from trunkline_standalone.embedded.sockets import open_sockets

NOW = datetime(2026, 11, 24, tzinfo=UTC)
QUERY = Query(since=NOW, until=NOW, by=("team",))
COUNTS = {name: 1 for name in Line.__struct_fields__ if name not in {"begins", "by"}}


def test_options_become_a_query(tmp_path):
    query = query_of(UsageOptions(by="team, model", since="1d", home=tmp_path), NOW)
    assert (query.by, query.bucket, (query.until - query.since).days) == (("team", "model"), None, 1)
    assert query_of(UsageOptions(form="focus", home=tmp_path), NOW).by == FOCUS_BY


@pytest.mark.parametrize("wrong", [{"by": "teem"}, {"bucket": "minute"}, {"since": "soon"}])
def test_what_cannot_be_asked_is_said(tmp_path, wrong):
    with pytest.raises(InvalidRequest):
        query_of(UsageOptions(home=tmp_path, **wrong), NOW)


def test_formats_are_known(tmp_path):
    with pytest.raises(InvalidRequest, match="table, csv, focus, json"):
        run_usage(UsageOptions(form="xml", home=tmp_path), {})


def test_a_pipe_gets_tabs_and_the_other_formats_all_counts():
    lines = [Line(begins=None, by={"team": "search"}, **COUNTS)]
    narrow = told(lines, QUERY, "table").splitlines()
    assert narrow[0].split("\t")[0] == "team"
    assert narrow[1].split("\t")[0] == "search"
    assert len(told(lines, QUERY, "csv").splitlines()[0].split(",")) > len(narrow[0].split("\t"))
    assert told(lines, QUERY, "json").startswith("[")


def test_the_database_is_the_files_else_the_environments_else_the_running_ones(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = tmp_path / "trunkline.yaml"
    file.write_text('stores: {database: "env:DB"}\n')
    environment = {"DB": "postgresql://file", "TRUNKLINE_DATABASE_URL": "postgresql://environment"}
    options = UsageOptions(home=tmp_path / "home", config=file)
    assert ledger_url(options, environment) == "postgresql://file"
    options = UsageOptions(home=tmp_path / "home")
    assert ledger_url(options, environment) == "postgresql://environment"
    with pytest.raises(Unavailable, match="no `trunkline up` runs"):
        ledger_url(options, {})
    with open_sockets(tmp_path / "home", "") as folder:
        assert str(folder).replace("/", "%2F") in ledger_url(options, {}).replace("/", "%2F")
