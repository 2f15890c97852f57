import io
import sys

import pytest
from rich.console import Console

from trunkline_standalone.tables import note, say, say_fields, say_file, say_json, say_table

EVIL = "\x1b]0;owned\x07\x9b2J\rspoofed\u202e"
"""Sets the title, clears the screen, writes over its line, and reads from the right."""
TAME = "\ufffd]0;owned\ufffd\ufffd2J\ufffdspoofed\ufffd"


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)


def test_tab_separated_in_a_pipe(capsys):
    say_table(("id", "what"), [("a", "x y"), ("b", "tab\there")])
    assert capsys.readouterr().out == 'id\twhat\na\tx y\nb\t"tab\there"\n'
    say_fields([("id", "a"), ("empty", ""), ("team", "t")])
    assert capsys.readouterr().out == "id\ta\nteam\tt\n"


def test_a_table_on_a_terminal(terminal):
    say_table(("id", "what"), [("a[bold]", "[red]x")], terminal)
    shown = terminal.file.getvalue()
    assert "a[bold]" in shown
    assert "[red]x" in shown, "names are not markup"


def test_fields_on_a_terminal(terminal):
    say_fields([("id", "[a]"), ("empty", "")], terminal)
    shown = terminal.file.getvalue()
    assert "[a]" in shown
    assert "empty" not in shown


def test_a_backslash_does_not_make_markup_of_a_name(terminal):
    say_table(("id",), [(r"\[red]x",)], terminal)
    say_fields([("id", r"\[red]y")], terminal)
    assert r"\[red]x" in terminal.file.getvalue()
    assert r"\[red]y" in terminal.file.getvalue()


def test_names_give_no_orders_to_a_terminal(terminal):
    say_table(("id",), [(EVIL,), ("two\nlines",)], terminal)
    say_fields([("id", EVIL)], terminal)
    shown = terminal.file.getvalue()
    assert shown.count(TAME) == 2
    assert "two\ufffdlines" in shown
    assert not set(EVIL[:1] + "\x07\x9b\r\u202e") & set(shown)


def test_names_give_no_orders_through_a_pipe(capsys):
    """To `less -R`, `head` or whatever else shows them."""
    say_table(("id",), [(EVIL,)])
    say_fields([("id", EVIL)])
    assert capsys.readouterr().out == f"id\n{TAME}\nid\t{TAME}\n"


def test_what_is_beside_the_answer_and_json_are_safe_too(capsys):
    note(f"made {EVIL}\nand more")
    say_json(b'{"a":"\xc2\x9b\\u001b"}')
    found = capsys.readouterr()
    assert found.err == f"made {TAME}\nand more\n"
    assert found.out == '{\n  "a": "\\u009b\\u001b"\n}\n'


def test_a_file_is_exact_in_a_pipe_and_safe_on_a_terminal(capsys, monkeypatch):
    say_file(f"a,b\r\n{EVIL},\t\r\n")
    assert capsys.readouterr().out == f"a,b\r\n{EVIL},\t\r\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    say_file(f"a,b\r\n{EVIL},\t\r\n")
    say(EVIL)
    assert capsys.readouterr().out == f"a,b\n{TAME},\t\n{TAME}\n"


def test_the_answer_and_what_is_beside_it(capsys):
    say("answer")
    note("note")
    say_json(b'{"a":1}')
    found = capsys.readouterr()
    assert found.out == 'answer\n{\n  "a": 1\n}\n'
    assert found.err == "note\n"
