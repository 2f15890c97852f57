import io

import pytest
from rich.console import Console

from trunkline_standalone.tables import note, say, say_fields, say_json, say_table


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


def test_the_answer_and_what_is_beside_it(capsys):
    say("answer")
    note("note")
    say_json(b'{"a":1}')
    found = capsys.readouterr()
    assert found.out == 'answer\n{\n  "a": 1\n}\n'
    assert found.err == "note\n"
