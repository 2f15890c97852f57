"""Runs as a script of its own, between fork and exec: ties a child to its parent's life, then becomes the child.

`python -I -S launch.py PARENT_PID DEATH_SIGNAL UID GID COMMAND…`. Standard library only; it starts in 20 ms.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal this process gets when its parent ends, also by SIGKILL."""


def main(arguments: list[str]) -> None:
    """Take a session of its own, so that Ctrl-C reaches the parent only, then the user, then the parent's death."""
    parent_pid, death_signal, uid, gid = (int(text) for text in arguments[:4])
    os.setsid()
    if uid != os.geteuid():
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    # The parent may have died before the line above: then no signal ever comes.
    if os.getppid() != parent_pid:
        sys.exit(1)
    os.execv(arguments[4], arguments[4:])  # noqa: S606 - the point of this script


if __name__ == "__main__":
    main(sys.argv[1:])
