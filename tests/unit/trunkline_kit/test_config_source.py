import pytest

from trunkline_kit.config_source import open_source
from trunkline_kit.errors import ConfigError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "trunkline.yaml"
    path.write_text("server: {concurrent_requests: 1}\n")
    return path


def test_nothing_new_is_nothing(path):
    source = open_source(path)
    assert source.poll() is None


def test_a_new_file_is_offered_once_and_in_force_when_accepted(path):
    source = open_source(path)
    path.write_text("server: {concurrent_requests: 22}\n")
    offered = source.poll()
    assert offered is not None
    assert source.current.settings.server.concurrent_requests == 1
    source.accept(offered)
    assert source.current.settings.server.concurrent_requests == 22
    assert source.poll() is None


def test_a_bad_file_keeps_the_old_one_and_says_so(path):
    source = open_source(path)
    path.write_text("server: {concurent_requests: 3}\n")
    assert source.poll() is None
    assert source.current.settings.server.concurrent_requests == 1
    assert "did you mean `concurrent_requests`" in (source.error or "")
    path.write_text("server: {concurrent_requests:  1}\n")
    assert source.poll() is None
    assert source.error is None


def test_a_file_that_went_away_keeps_the_old_one(path):
    source = open_source(path)
    path.unlink()
    assert source.poll() is None
    assert "no such file" in (source.error or "")


def test_a_service_may_refuse_what_the_loader_took(path):
    source = open_source(path)
    path.write_text("server: {concurrent_requests: 5}\n")
    assert source.poll() is not None
    source.reject(ConfigError("no"))
    assert (source.current.settings.server.concurrent_requests, source.error) == (1, "no")


def test_sees_the_link_swap_of_a_config_map(tmp_path):
    """The kubelet writes a new folder and renames the link `..data` over the old one; file times may be equal."""
    for name, count in (("old", 1), ("new", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trunkline.yaml").write_text(f"server: {{concurrent_requests: {count}}}\n")
    (tmp_path / "..data").symlink_to("old")
    (tmp_path / "trunkline.yaml").symlink_to("..data/trunkline.yaml")
    source = open_source(tmp_path / "trunkline.yaml")
    (tmp_path / "..swap").symlink_to("new")
    (tmp_path / "..swap").rename(tmp_path / "..data")
    offered = source.poll()
    assert offered is not None
    assert offered.settings.server.concurrent_requests == 2


async def test_changes_yields_good_ones(path):
    source = open_source(path)
    changes = source.changes(poll_s=0.001)
    path.write_text("server: {concurrent_requests: 7}\n")
    offered = await anext(changes)
    assert offered.settings.server.concurrent_requests == 7
    await changes.aclose()
