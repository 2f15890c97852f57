"""Whose rights a child has. Postgres refuses to run as root; then it runs as `nobody`."""

import os
import pwd
import stat
from pathlib import Path

from msgspec import Struct

from trunkline_kit.errors import Unavailable

NOBODY = "nobody"


class Account(Struct, frozen=True):
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def own_account() -> Account:
    """Who runs this process. Raises Unavailable for a user id without a name, which Postgres cannot serve."""
    uid = os.geteuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise Unavailable(
            f"user id {uid} has no entry in /etc/passwd, which the embedded Postgres needs;"
            " add one, or set TRUNKLINE_DATABASE_URL"
        ) from error
    return Account(entry.pw_name, uid, os.getegid())


def server_account() -> Account:
    """The same, or `nobody` in place of root."""
    if os.geteuid() != 0:
        return own_account()
    try:
        entry = pwd.getpwnam(NOBODY)
    except KeyError as error:
        raise Unavailable(
            "Postgres does not run as root and there is no user `nobody`; start trunkline as another user"
        ) from error
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def is_open_to_all(path: Path) -> bool:
    """Whether any user may reach and read `path`: it is world-readable and all folders above let pass."""
    if not path.stat().st_mode & stat.S_IROTH:
        return False
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
