import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import ModelKind
from trunkline_worker.convert.precision import Precision
from trunkline_worker.manifest import (
    CONVERTER_VERSION,
    FileRecord,
    Manifest,
    check_files,
    read_manifest,
    record_of,
    records_of,
    revision_of,
    sha256_of,
    write_manifest,
)


def manifest(folder) -> Manifest:
    return Manifest(
        model="tiny",
        kind=ModelKind.EMBED,
        variant=Precision.Q8,
        licence="Apache-2.0",
        package="tiny",
        version="1",
        wheel_sha256="0" * 64,
        converter_version=CONVERTER_VERSION,
        files=records_of(folder),
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / "b").write_bytes(b"")
    write_manifest(manifest(tmp_path), tmp_path)
    return tmp_path


def test_what_is_written_is_read_back(folder):
    read = read_manifest(folder)
    assert read == manifest(folder)
    assert [file.name for file in read.files] == ["a", "b"]
    assert read.size_bytes == 5
    check_files(read, folder)


@pytest.mark.parametrize("change", [b"fisrt", b"firs", b"first!", b""])
def test_any_change_of_a_file_is_found(folder, change):
    (folder / "a").write_bytes(change)
    with pytest.raises(ModelError, match="a is damaged"):
        check_files(read_manifest(folder), folder)


def test_a_file_that_is_gone_is_found(folder):
    (folder / "b").unlink()
    with pytest.raises(ModelError, match="b is missing"):
        check_files(read_manifest(folder), folder)


def test_a_manifest_that_is_gone_or_broken(folder):
    (folder / "manifest.json").write_text('{"model": 1}')
    with pytest.raises(ModelError, match="is damaged"):
        read_manifest(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(ModelError, match=r"has no manifest\.json"):
        read_manifest(folder)


@given(st.binary(max_size=3000))
def test_digests_are_the_standard_ones(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("digest") / "file"
    path.write_bytes(data)
    assert sha256_of(path) == hashlib.sha256(data).hexdigest()
    assert record_of(path).size_bytes == len(data)


names = st.text("abc.", min_size=1, max_size=6)
files = st.lists(
    st.builds(FileRecord, name=names, size_bytes=st.integers(0, 9), sha256=st.text("01", min_size=4, max_size=4)),
    max_size=5,
)


@given(files, st.randoms())
def test_a_revision_depends_on_contents_and_not_on_order(records, random):
    shuffled = list(records)
    random.shuffle(shuffled)
    assert revision_of(shuffled) == revision_of(records)
    more = [*records, FileRecord(name="new", size_bytes=0, sha256="1")]
    assert revision_of(more) != revision_of(records)
