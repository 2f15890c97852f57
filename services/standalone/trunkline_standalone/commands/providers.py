"""`trunkline providers presets | profile`."""

from collections.abc import Iterator

import msgspec

from trunkline_kit.errors import InvalidRequest
from trunkline_kit.presets import PRESETS, Preset
from trunkline_kit.profiles import BUILT_IN, NOTHING, Profile, built_in
from trunkline_standalone.tables import say_fields, say_json, say_table

_BILLS = {None: "unknown", True: "goes on", False: "stops"}
_HEADER = ("preset", "server", "address", "key", "on disconnect")


def run_presets(name: str | None, *, as_json: bool) -> None:
    """All of them, or one. Raises InvalidRequest for one that is not there."""
    presets: dict[str, Preset] = {str(key): preset for key, preset in PRESETS.items()}
    if name is not None and name not in presets:
        raise InvalidRequest(f"no preset {name!r}; there are {', '.join(sorted(presets))}")
    if as_json:
        say_json(msgspec.json.encode(presets if name is None else presets[name]))
    elif name is None:
        say_table(_HEADER, [_row(key, presets[key]) for key in sorted(presets)])
    else:
        say_fields([*zip(_HEADER, _row(name, presets[name]), strict=True), *_habits(presets[name])])


def run_profile(model: str, *, as_json: bool) -> None:
    """What its name tells."""
    found = built_in(model)
    if as_json:
        say_json(msgspec.json.encode(found))
        return
    name = next(name for name, profile in BUILT_IN.items() if profile == found)
    say_fields([("profile", name), *_differences(found)])


def _row(name: str, preset: Preset) -> tuple[str, ...]:
    return (name, preset.title, preset.base_url, preset.key_variable or "-", _BILLS[preset.bills_after_disconnect])


def _habits(preset: Preset) -> Iterator[tuple[str, str]]:
    yield "prices as", preset.listed_as
    if preset.usage_in_streams == "always":
        yield "usage in streams", "comes by itself; stream_options.include_usage is not sent"
    if preset.output_limit_field != "either":
        yield "output limit", f"sent as {preset.output_limit_field}"
    yield "sent as", ", ".join(f"{name} -> {other}" for name, other in preset.renamed)
    yield "not sent", ", ".join(sorted(preset.dropped))
    yield "reasoning field", preset.reasoning_field
    yield from _differences(preset.profile)


def _differences(profile: Profile) -> Iterator[tuple[str, str]]:
    yield "cannot", ", ".join(sorted(profile.cannot))
    yield "can", ", ".join(sorted(name for name, value in profile.changes.items() if value is True))
    if profile.context_tokens is not None:
        yield "context", f"{profile.context_tokens} tokens"
    if profile == NOTHING:
        yield "differs", "in nothing from what its protocol can do"
