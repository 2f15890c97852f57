import errno
import os
import tempfile

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.ledger.journal import journals
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
        assert len(journals(tmp_path / "spool")) == 1
    assert "the database is away" in caplog.text
    assert journals(tmp_path / "spool") == []


async def test_a_gateway_without_room_for_a_journal_serves_all_the_same(tmp_path, caplog, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    options = LedgerOptions(
        database=Secret(f"postgresql://nobody@/none?host={tmp_path}"), ledger=Ledger(spool_dir=str(tmp_path / "spool"))
    )
    async with open_ledger(options, ManualClock(), CollectorRegistry()) as books:
        assert books is not None
    assert "no journal in" in caplog.text


def test_a_spool_folder_is_made_or_refused_by_name(tmp_path):
    assert open_spool(Ledger(spool_dir=str(tmp_path / "a/b"))).folder.is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"ledger\.spool_dir"):
        open_spool(Ledger(spool_dir=str(tmp_path / "file")))


def test_consumers_are_never_taken_for_those_of_an_earlier_run():
    assert consumer_name() != consumer_name()
    assert default_spool_folder().name.startswith("trunkline-spool-")


@pytest.fixture
def default_folder(tmp_path, monkeypatch):
    """Where temporary files go is a folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return default_spool_folder()


def test_the_default_spool_is_this_users_alone(default_folder):
    for _ in range(2):
        assert open_spool(Ledger()).folder == default_folder
    assert default_folder.stat().st_mode & 0o777 == 0o700


def test_a_default_spool_that_others_can_open_is_refused(default_folder):
    default_folder.mkdir()
    default_folder.chmod(0o755)
    with pytest.raises(ConfigError, match=r"ledger\.spool_dir: .* is open to other users"):
        open_spool(Ledger())


def test_a_link_in_place_of_the_default_spool_is_refused(default_folder, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    default_folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"ledger\.spool_dir: .* is no folder of its own"):
        open_spool(Ledger())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_default_spool_of_somebody_else_is_refused(default_folder):
    default_folder.mkdir(mode=0o700)
    os.chown(default_folder, 12_345, -1)
    with pytest.raises(ConfigError, match=r"ledger\.spool_dir: .* belongs to user 12345"):
        open_spool(Ledger())


def test_a_folder_that_was_named_is_taken_as_it_is(tmp_path):
    """Volumes belong to root and are open to a group: whoever names a folder answers for it."""
    tmp_path.chmod(0o777)
    assert open_spool(Ledger(spool_dir=str(tmp_path))).folder == tmp_path
