"""Leads one client library through every scenario and prints what came of it as JSON.

Usage: `python run.py DRIVER URL KEY`. A driver is a module with `PACKAGES` and `WAYS`: classes made of URL, key and
model, with methods that return what was said. Runs in the environment of the client libraries, not in the project's.
"""

import importlib
import json
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version

SCENARIOS = ("chat", "stream", "tools", "structured")
MODELS = ("gpt", "claude")


def said(scenario: Callable[[], object]) -> object:
    """What the scenario returns, or where it failed."""
    try:
        return scenario()
    except Exception:  # noqa: BLE001 - reported to the test, which fails
        return traceback.format_exc()


def raised(scenario: Callable[[], object]) -> dict[str, object]:
    """The exception that the scenario raises: its classes and its HTTP status, as far as it has one."""
    try:
        return {"nothing raised": scenario()}
    except Exception as error:  # noqa: BLE001 - the point of it
        status = getattr(error, "status_code", None) or getattr(error, "code", None)
        kinds = [f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in type(error).__mro__]
        return {"kinds": kinds, "status": status, "text": str(error)}


def report(way: type, url: str, key: str) -> dict[str, object]:
    """All scenarios of one way to ask."""
    told: dict[str, object] = {
        f"{model} {name}": said(getattr(way(url, key, model), name))
        for model in MODELS
        for name in SCENARIOS
        if hasattr(way, name)
    }
    if hasattr(way, "chat"):
        told["stranger"] = raised(way(url, "nobody", "gpt").chat)
        told["busy"] = raised(way(url, key, "busy").chat)
        told["breaking"] = raised(way(url, key, "breaking").stream)
    for name in getattr(way, "MORE", ()):
        told[name] = said(getattr(way(url, key, "gpt"), name))
    return told


def main(name: str, url: str, key: str) -> None:
    driver = importlib.import_module(name)
    versions = {package: version(package) for package in driver.PACKAGES}
    ways = {way.__name__: report(way, url, key) for way in driver.WAYS}
    json.dump({"versions": versions, "ways": ways}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
