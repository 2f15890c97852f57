import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.ledger.opening import LedgerOptions, consumer_name, default_spool_folder, open_ledger, open_spool
from trunkline_kit.accounts import Ledger
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError
from trunkline_kit.secrets import Secret


async def test_without_a_database_there_are_no_books_and_the_log_says_so(caplog):
    async with open_ledger(LedgerOptions(), ManualClock(), CollectorRegistry()) as books:
        assert books is None
    assert "stores.database" in caplog.text


async def test_a_database_that_is_away_does_not_keep_the_gateway_from_serving(tmp_path, caplog):
    options = LedgerOptions(
        database=Secret(f"postgresql://nobody@/none?host={tmp_path}"), ledger=Ledger(spool_dir=str(tmp_path / "spool"))
    )
    async with open_ledger(options, ManualClock(), CollectorRegistry()) as books:
        assert books is not None
    assert "the database is away" in caplog.text


def test_a_spool_folder_is_made_or_refused_by_name(tmp_path):
    assert open_spool(Ledger(spool_dir=str(tmp_path / "a/b"))).folder.is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"ledger\.spool_dir"):
        open_spool(Ledger(spool_dir=str(tmp_path / "file")))


def test_consumers_are_never_taken_for_those_of_an_earlier_run():
    assert consumer_name() != consumer_name()
    assert default_spool_folder().name.startswith("trunkline-spool-")
