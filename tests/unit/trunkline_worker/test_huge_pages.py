import mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_worker.runtimes import huge_pages
from trunkline_worker.runtimes.huge_pages import HUGE_BYTES, added, aligned, anonymous, is_allowed, on_huge_pages

MAPS = """\
55d0c0a00000-55d0c0b00000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000400000 rw-p 00000000 00:00 0
7f0000400000-7f0000500000 r--p 00000000 00:00 0
7f0000500000-7f0000600000 rw-p 00000000 08:01 4711                       /models/model.onnx data
7f0000600000-7f0000700000 rw-s 00000000 00:01 12                         /dev/zero (deleted)
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
"""

cuts = st.lists(st.integers(0, 60), max_size=12, unique=True).map(sorted)
regions = cuts.map(lambda points: list(zip(points[::2], points[1::2], strict=False)))


def test_only_private_memory_without_a_file_is_looked_at():
    assert anonymous(MAPS) == [(0x55D0C0A00000, 0x55D0C0B00000), (0x7F0000000000, 0x7F0000400000)]


def pages(spans):
    return {page for begin, end in spans for page in range(begin, end)}


@given(regions, regions)
def test_what_is_new_is_what_was_not_there(before, after):
    new = added(before, after)
    assert pages(new) == pages(after) - pages(before)
    assert all(begin < end for begin, end in new)


def test_only_whole_huge_pages_are_asked_for():
    begin = 7 * HUGE_BYTES
    assert aligned([(begin - 1, begin + 2 * HUGE_BYTES + 1)]) == [(begin, begin + 2 * HUGE_BYTES)]
    assert aligned([(begin + 1, begin + HUGE_BYTES + 1)]) == []


@pytest.mark.parametrize(
    ("text", "allowed"), [("always [madvise] never", True), ("[always] madvise never", True), ("a [never]", False)]
)
def test_a_machine_that_switched_them_off_is_obeyed(tmp_path, text, allowed):
    setting = tmp_path / "enabled"
    setting.write_text(text)
    assert is_allowed(setting) is allowed


def test_a_system_without_them_has_none(tmp_path):
    assert not is_allowed(tmp_path / "missing")


@pytest.mark.skipif(not is_allowed(), reason="this machine has no huge pages, or they are switched off")
def test_what_the_block_allocates_is_on_huge_pages():
    before = huge_bytes()
    with on_huge_pages():
        memory = mmap.mmap(-1, 16 * HUGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.write(b"x" * len(memory))
    assert huge_bytes() > before
    memory.close()


def test_nothing_is_asked_for_where_it_is_not_allowed(monkeypatch):
    monkeypatch.setattr(huge_pages, "is_allowed", lambda: False)
    monkeypatch.setattr(huge_pages, "_advise", lambda _: pytest.fail("nobody allowed this"))
    with on_huge_pages():
        pass


def huge_bytes():
    rollup = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return 1024 * sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("AnonHugePages"))
