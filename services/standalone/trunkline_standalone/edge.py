"""Where an error becomes one line for people. The outermost layer of the command; nothing below prints errors."""

import asyncio
import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from trunkline_kit.errors import TrunklineError
from trunkline_kit.printable import printable_lines

FAILED = 1
INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

_log = logging.getLogger(__name__)


@contextmanager
def told_plainly(*, debug: bool) -> Iterator[None]:
    """End the process with a line on standard error in place of a traceback; with `debug`, let it through."""
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has enough, e.g. `trunkline chat … | head -1`.
        sys.stderr.close()
        sys.exit(FAILED)
    except Exception as error:
        if debug:
            raise
        print(f"trunkline: {printable_lines(explain(error))}", file=sys.stderr)  # noqa: T201 - the command's voice
        sys.exit(FAILED)


def explain(error: BaseException) -> str:
    """What was wrong and what to do, in the words of the innermost error that knows."""
    if isinstance(error, BaseExceptionGroup):
        known = [explain(inner) for inner in error.exceptions if isinstance(inner, TrunklineError | OSError)]
        return known[0] if known else explain(error.exceptions[0])
    if isinstance(error, TrunklineError):
        return error.message
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"the disk is full{_at(error)}; free some space or use --home"
    if isinstance(error, OSError):
        return f"{error.strerror or error}{_at(error)}"
    _log.error("unexpected error", exc_info=error)
    return f"unexpected {type(error).__name__}: {error}; TRUNKLINE_DEBUG=1 shows where"


def _at(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""
