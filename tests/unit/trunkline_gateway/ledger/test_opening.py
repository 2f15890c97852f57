import errno
import os
import tempfile

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.ledger.journal import journals
from trunkline_gateway.ledger.opening import (
    LedgerOptions,
    consumer_name,
    database_digest,
    default_spool_folder,
    open_ledger,
    open_spool,
)
from trunkline_kit.accounts import Ledger
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError
from trunkline_kit.secrets import Secret

DATABASE = Secret("postgresql://me:pass@db.example:5432/usage")


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
    assert open_spool(Ledger(spool_dir=str(tmp_path / "a/b")), DATABASE).folder.is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"ledger\.spool_dir"):
        open_spool(Ledger(spool_dir=str(tmp_path / "file")), DATABASE)


def test_consumers_are_never_taken_for_those_of_an_earlier_run():
    assert consumer_name() != consumer_name()
    assert default_spool_folder(DATABASE).name.startswith("trunkline-spool-")


@pytest.fixture
def default_folder(tmp_path, monkeypatch):
    """Where temporary files go is a folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return default_spool_folder(DATABASE)


def test_the_default_spool_is_this_users_alone(default_folder):
    for _ in range(2):
        assert open_spool(Ledger(), DATABASE).folder == default_folder
    assert default_folder.stat().st_mode & 0o777 == 0o700


def test_a_default_spool_that_others_can_open_is_refused(default_folder):
    default_folder.mkdir()
    default_folder.chmod(0o755)
    with pytest.raises(ConfigError, match=r"ledger\.spool_dir: .* is open to other users"):
        open_spool(Ledger(), DATABASE)


def test_a_link_in_place_of_the_default_spool_is_refused(default_folder, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    default_folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"ledger\.spool_dir: .* is no folder of its own"):
        open_spool(Ledger(), DATABASE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_default_spool_of_somebody_else_is_refused(default_folder):
    default_folder.mkdir(mode=0o700)
    os.chown(default_folder, 12_345, -1)
    with pytest.raises(ConfigError, match=r"ledger\.spool_dir: .* belongs to user 12345"):
        open_spool(Ledger(), DATABASE)


def test_a_folder_that_was_named_is_taken_as_it_is(tmp_path):
    """Volumes belong to root and are open to a group: whoever names a folder answers for it."""
    tmp_path.chmod(0o777)
    assert open_spool(Ledger(spool_dir=str(tmp_path)), DATABASE).folder == tmp_path


@pytest.mark.parametrize(
    "same",
    [
        "postgresql://me:another@db.example:5432/usage",
        "postgres://somebody@DB.example/usage?application_name=x",
        "postgresql:///usage?host=db.example&port=5432&user=me&password=secret",
        "postgresql://db.example?dbname=usage",
        "postgresql://usage@db.example",
    ],
)
def test_one_database_has_one_default_spool_whoever_uses_it(same):
    assert default_spool_folder(Secret(same)) == default_spool_folder(DATABASE)


@pytest.mark.parametrize(
    "other",
    [
        "postgresql://me:pass@db.example:5432/other",
        "postgresql://me:pass@db.example:5433/usage",
        "postgresql://me:pass@db2.example:5432/usage",
        "postgresql:///usage?host=/run/one",
        "postgresql://me:pass@",
    ],
)
def test_another_database_has_another_default_spool(other):
    """Two deployments of one user on one host would replay each other's rows into their own databases."""
    assert default_spool_folder(Secret(other)) != default_spool_folder(DATABASE)


def test_sockets_are_told_apart_by_their_folders_in_either_form():
    quoted, plain = (Secret(f"postgresql://{form}") for form in ("%2Frun%2Fone/usage", "/usage?host=/run/one"))
    assert database_digest(quoted) == database_digest(plain)
    assert database_digest(plain) != database_digest(Secret("postgresql:///usage?host=/run/two"))
