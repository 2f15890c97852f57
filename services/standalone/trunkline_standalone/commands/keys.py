"""`trunkline keys create | rotate | disable | enable | revoke`."""

import msgspec

from trunkline_standalone.commands.changes import Changes
from trunkline_standalone.commands.objects import KEYS, Managed, asked, path_of, run_delete, say_object
from trunkline_standalone.remote import Remote
from trunkline_standalone.tables import note, say, say_json


class _Rotation(msgspec.Struct, frozen=True, omit_defaults=True):
    overlap_s: float | None = None


def run_create(remote: Remote, new: Changes, *, as_json: bool) -> None:
    """The secret alone on standard output, so that a shell can take it; what there is to say beside it."""
    answer = asked(remote, "POST", "/keys", new)
    _say_secret(answer, "made", as_json=as_json)


def run_rotate(remote: Remote, key_id: str, overlap_s: float | None, *, as_json: bool) -> None:
    """The new secret alone on standard output. The old one goes on working for the overlap."""
    answer = asked(remote, "POST", path_of(KEYS, key_id, "rotate"), _Rotation(overlap_s))
    _say_secret(answer, "rotated", as_json=as_json)


def run_switch(remote: Remote, key_id: str, verb: str, *, as_json: bool) -> None:
    """`disable` or `enable`."""
    say_object(asked(remote, "POST", path_of(KEYS, key_id, verb)), as_json=as_json)


def run_revoke(remote: Remote, key_id: str) -> None:
    """For ever: its requests stop everywhere within a second."""
    run_delete(remote, KEYS, key_id)


def _say_secret(answer: bytes, done: str, *, as_json: bool) -> None:
    if as_json:
        say_json(answer)
        return
    key = msgspec.json.decode(answer, type=Managed)
    note(f"{done} key {key.id} of team {key.team}; its secret is shown this once:")
    for mark in key.secrets[1:]:
        if mark.expires_at is not None:
            note(f"the old secret …{mark.last_four} works until {mark.expires_at:%Y-%m-%d %H:%M %Z}")
    say(key.secret)
