"""What `trunkline up` says on standard output: where it is, the key, and two ways to try it, ready to be pasted."""

import json
import shlex
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]
OPTIONS = {"temperature": 0, "max_tokens": 100}
"""A small model at its most sensible, and done in a second or two."""


class Ready(Struct, frozen=True, kw_only=True):
    """What there is to say once everything serves."""

    url: str
    """Without a trailing slash, e.g. `http://127.0.0.1:8080`."""
    key_file: Path
    new_key: str | None
    """Given only by the start that made it."""
    model: str
    notes: tuple[str, ...] = ()


def curl_line(ready: Ready) -> str:
    """One line for a POSIX shell."""
    body = json.dumps({"model": ready.model, "messages": MESSAGES, **OPTIONS})
    bearer = f'"Authorization: Bearer $(cat {shlex.quote(str(ready.key_file))})"'
    return (
        f"curl {ready.url}/v1/chat/completions -H {bearer}"
        f" -H {shlex.quote('Content-Type: application/json')} -d {shlex.quote(body)}"
    )


def python_lines(ready: Ready) -> tuple[str, str, str, str]:
    """Four lines for Python with the `openai` package."""
    options = "".join(f", {name}={value}" for name, value in OPTIONS.items())
    return (
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{ready.url}/v1", api_key=open({str(ready.key_file)!r}).read())',
        f'answer = client.chat.completions.create(model="{ready.model}", messages={json.dumps(MESSAGES)}{options})',
        "print(answer.choices[0].message.content)",
    )


def plain_text(ready: Ready) -> str:
    """For a pipe or a log."""
    head = [f"Trunkline is ready at {ready.url}", f"Key: {_key(ready)}", *ready.notes]
    return "\n".join([*head, "", "Try it:", curl_line(ready), "", "From Python:", *python_lines(ready), ""])


def show(ready: Ready, console: Console) -> None:
    """A panel on a terminal, plain text elsewhere. What is to be pasted stands outside any frame and is never cut."""
    if not console.is_terminal:
        console.file.write(plain_text(ready))
        console.file.flush()
        return
    lines = [f"URL   {ready.url}/v1", f"Key   {_key(ready)}", *ready.notes]
    console.print(Panel(Text("\n".join(lines)), title="Trunkline is ready", title_align="left", border_style="green"))
    for title, code in (("Try it", curl_line(ready)), ("From Python", "\n".join(python_lines(ready)))):
        console.print(Text(f"\n{title}", style="bold"))
        console.print(Text(code), soft_wrap=True)
    console.print(Text("\nCtrl-C stops it.", style="dim"))


def _key(ready: Ready) -> str:
    if ready.new_key is None:
        return f"in {ready.key_file}"
    return f"{ready.new_key}  (shown once; kept in {ready.key_file})"
