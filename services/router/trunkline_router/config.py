"""What the router takes from `trunkline.yaml`, and the name of that version."""

import hashlib

import msgspec

from trunkline_kit.settings import Route, Settings

VERSION_DIGITS = 12
"""Of the hash; as many as the configuration's own version has."""


class RouterConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the router listens and what it decides by."""

    listen: str
    """`host:port`, `unix:/path` or `local:name`."""
    routes: dict[str, Route] = {}
    """Virtual model → rules. Names inside were checked by the loader."""

    @classmethod
    def from_settings(cls, settings: Settings, *, listen: str | None = None) -> "RouterConfig":
        """The router's part of the file; `listen` in place of `listen.grpc` when it shares a process."""
        return cls(listen=listen or settings.listen.grpc, routes=settings.routes)


def version_of(routes: dict[str, Route]) -> str:
    """Names what `routes` say: equal rules, equal version, whatever the file around them looks like."""
    return hashlib.sha256(msgspec.json.encode(routes, order="deterministic")).hexdigest()[:VERSION_DIGITS]


def without_effect(routes: dict[str, Route]) -> list[str]:
    """What the routes ask for and this version does not do, one line each, with its path in the file."""
    found = []
    for name, route in routes.items():
        if route.classifier is not None:
            found.append(f"routes.{name}.classifier: this version has no classifiers; `{route.classifier}` is not run")
        for index, rule in enumerate(route.rules):
            when = rule.when
            if when.intent is not None or when.complexity_below is not None or when.complexity_above is not None:
                path = f"routes.{name}.rules[{index}]"
                found.append(f"{path}: cannot match without a classifier; requests go on to the next rule")
    return found
