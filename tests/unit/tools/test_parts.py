"""How parts get into the cache: whole or not at all, once, and said when they cannot."""

import parts
import pytest
from parts import Part, PartMissingError

from trunkline_testkit.parts import parts_folder


def part(name="tool", content="#!/bin/sh\necho hello\n", *, fails=None, calls=None):
    def install(folder):
        (folder / "half").write_text("")
        if calls is not None:
            calls.append(folder)
        if fails is not None:
            raise fails
        (folder / name).write_text(content)
        return {name: folder / name}

    return Part(name, "1.0", (name,), install)


def test_a_part_becomes_a_program_in_bin(tmp_path):
    parts.ensure(part(), tmp_path)
    program = tmp_path / "bin" / "tool"
    assert program.read_text().endswith("echo hello\n")
    assert program.stat().st_mode & 0o111
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "tool-1.0"]


def test_what_is_there_is_kept(tmp_path):
    calls: list[object] = []
    for _ in range(2):
        parts.ensure(part(calls=calls), tmp_path)
    assert len(calls) == 1


def test_a_lost_program_is_put_back(tmp_path):
    parts.ensure(part(), tmp_path)
    (tmp_path / "tool-1.0" / "tool").unlink()
    parts.ensure(part(), tmp_path)
    assert (tmp_path / "bin" / "tool").exists()


def test_nothing_is_left_of_a_part_that_failed(tmp_path):
    with pytest.raises(PartMissingError):
        parts.ensure(part(fails=PartMissingError("no network")), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_main_says_what_is_left_out_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRUNKLINE_PARTS", str(tmp_path))
    monkeypatch.setattr(parts, "PARTS", (part("one", fails=PartMissingError("no network")), part("two")))
    assert parts.main([]) == 0
    assert capsys.readouterr().err == "parts: one 1.0 is left out: no network\n"
    assert (tmp_path / "bin" / "two").exists()


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit):
        parts.main(["hammer"])
    assert "no part hammer; there are helm, aimock" in capsys.readouterr().err


def test_a_failing_program_is_quoted():
    with pytest.raises(PartMissingError, match="sh failed: it is broken"):
        parts.run("sh", "-c", "echo it is broken >&2; exit 3")


def test_the_cache_is_outside_the_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("TRUNKLINE_PARTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parts_folder() == tmp_path / ".cache" / "trunkline" / "parts"
