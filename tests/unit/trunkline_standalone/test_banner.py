import ast
import io
import json
import shlex
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from trunkline_standalone.banner import OPTIONS, Ready, curl_line, plain_text, python_lines, show

ODD_HOMES = [
    "/srv/trunkline",
    "/srv/my models",
    "/tmp/it's here",
    '/tmp/a"b',
    "/tmp/$HOME",
    "/tmp/back\\slash",
    "/tmp/`id`",
]


def ready(home="/srv/trunkline", **changes):
    given = {"url": "http://127.0.0.1:8080", "key_file": Path(home) / "key", "new_key": None, "model": "auto"}
    return Ready(**given | changes)


@pytest.mark.parametrize("home", ODD_HOMES)
def test_the_curl_line_reads_the_key_from_any_home(home):
    """A shell takes the line apart; `cat` and `curl` only say what they were given."""
    tell = 'cat() { printf "%s" "$1"; }; curl() { printf "%s\\n" "$@"; }; '
    done = subprocess.run(["bash", "-c", tell + curl_line(ready(home))], capture_output=True, text=True, check=True)
    url, _, bearer, _, kind, _, body = done.stdout.splitlines()
    assert url == "http://127.0.0.1:8080/v1/chat/completions"
    assert bearer == f"Authorization: Bearer {home}/key"
    assert kind == "Content-Type: application/json"
    assert json.loads(body)["model"] == "auto"


@pytest.mark.parametrize("home", ODD_HOMES)
def test_the_python_lines_read_the_key_from_any_home(home):
    tree = ast.parse("\n".join(python_lines(ready(home))))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert f"{home}/key" in texts
    assert "http://127.0.0.1:8080/v1" in texts
    assert len(python_lines(ready(home))) == 4


def test_both_ask_for_the_same():
    body = json.loads(shlex.split(curl_line(ready()))[-1])
    call = ast.parse(python_lines(ready())[2]).body[0].value
    asked = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert asked == body
    assert OPTIONS.items() <= body.items()


def test_a_key_is_shown_only_when_it_is_new():
    assert "tl-new  (shown once; kept in /srv/trunkline/key)" in plain_text(ready(new_key="tl-new"))
    assert "Key: in /srv/trunkline/key" in plain_text(ready())


def test_a_pipe_gets_plain_text_uncut():
    out = io.StringIO()
    show(ready("/very" * 40), Console(file=out, width=40))
    assert out.getvalue() == plain_text(ready("/very" * 40))


def test_on_a_terminal_what_is_to_be_pasted_has_no_frame_and_is_not_cut():
    out = io.StringIO()
    told = ready("/long/path" * 9, new_key="tl-new", notes=("metrics is on 127.0.0.1:1",))
    show(told, Console(file=out, width=60, force_terminal=True, color_system=None))
    lines = out.getvalue().splitlines()
    assert curl_line(told) in lines
    assert all(line in lines for line in python_lines(told))
    assert any("metrics is on" in line for line in lines)
    assert "Ctrl-C" in lines[-1]
