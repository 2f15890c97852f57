import os
import stat
import tempfile

import pytest

from trunkline_kit.errors import Unavailable
from trunkline_standalone.embedded.sockets import open_sockets


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where temporary files go in these tests."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_others_may_not_list_it_and_it_goes_with_the_block(tmp_path):
    with open_sockets(tmp_path, "") as folder:
        (folder / "s").write_text("")
        assert not stat.S_IMODE(folder.stat().st_mode) & (stat.S_IROTH | stat.S_IWOTH | stat.S_IRGRP | stat.S_IWGRP)
    assert not folder.exists()


def test_one_home_has_one_folder_and_two_have_two(tmp_path):
    with open_sockets(tmp_path / "a", "") as first, open_sockets(tmp_path / "b", "") as second:
        assert first != second
    with open_sockets(tmp_path / "a", "") as again:
        assert again == first


def test_its_path_is_short_for_any_home(tmp_path, temporary):
    with open_sockets(tmp_path / ("long" * 40), "") as folder:
        assert len(str(folder.relative_to(temporary))) < 40


def test_what_a_killed_run_left_is_removed(tmp_path):
    with open_sockets(tmp_path, "") as folder:
        name = folder
    name.mkdir()
    (name / "stale.sock").write_text("")
    with open_sockets(tmp_path, "") as folder:
        assert list(folder.iterdir()) == []


def test_a_link_in_its_place_is_refused_and_left(tmp_path, temporary):
    with open_sockets(tmp_path, "") as folder:
        name = folder
    target = tmp_path / "precious"
    target.mkdir()
    name.symlink_to(target)
    with pytest.raises(Unavailable, match="another user"), open_sockets(tmp_path, ""):
        pass
    assert target.is_dir()
    assert name.is_symlink()


def test_the_runtime_folder_is_used_unless_we_are_root(tmp_path):
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    with open_sockets(tmp_path, str(runtime)) as folder:
        assert (folder.parent == runtime) == (os.geteuid() != 0)
