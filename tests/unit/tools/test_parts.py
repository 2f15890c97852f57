"""How parts get into the cache: whole or not at all, once, and said when they cannot."""

import re
import subprocess
from pathlib import Path

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
    assert "no part hammer; there are helm, aimock, llmock, clients, clients-node" in capsys.readouterr().err


def test_a_failing_program_is_quoted():
    with pytest.raises(PartMissingError, match="sh failed: it is broken"):
        parts.run("sh", "-c", "echo it is broken >&2; exit 3")


def test_the_cache_is_outside_the_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("TRUNKLINE_PARTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parts_folder() == tmp_path / ".cache" / "trunkline" / "parts"


def test_a_launcher_goes_along_with_what_it_launches(tmp_path):
    (tmp_path / "old" / "bin").mkdir(parents=True)
    program = tmp_path / "old" / "bin" / "echo it"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    parts.launcher(tmp_path / "old", "run", program, "first").chmod(0o755)
    (tmp_path / "old").rename(tmp_path / "new home")
    parts.link(tmp_path / "bin" / "run", tmp_path / "new home" / "run")
    done = subprocess.run([tmp_path / "bin" / "run", "a b"], capture_output=True, text=True, check=True)
    assert done.stdout == "first a b\n"


def test_a_launcher_of_a_program_elsewhere_names_it(tmp_path):
    script = parts.launcher(tmp_path, "run", Path("/bin/echo"))
    script.chmod(0o755)
    assert subprocess.run([script, "x"], capture_output=True, text=True, check=True).stdout == "x\n"


@pytest.mark.parametrize(
    "listed", [*parts.PYTHON_CLIENTS.values(), parts.LLMOCK_LIST], ids=lambda listed: Path(listed).name
)
def test_client_libraries_are_pinned_to_the_last(listed):
    lines = [line for line in (parts.CLIENTS / listed).read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; .+)?", line)] == []


def test_another_list_is_another_version():
    assert len({parts.digest(name) for name in (*parts.PYTHON_CLIENTS.values(), *parts.NODE_LISTS)}) == 4
    assert parts.digest("python.txt") == parts.digest("python.txt")


def test_an_old_node_does_not_count(tmp_path, monkeypatch):
    for name in ("node", "npm"):
        (tmp_path / name).write_text("#!/bin/sh\necho v20.19.1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert parts.node_on_path((20, 15)) == tmp_path / "node"
    assert parts.node_on_path((22, 0)) is None
    assert parts.node_and_npm(tmp_path, (20, 15)) == (tmp_path / "node", ("npm",))
