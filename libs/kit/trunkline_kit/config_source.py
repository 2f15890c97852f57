"""The configuration in force: loaded once, watched for changes, replaced only by a good one."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from trunkline_kit.config import Loaded, files_of, load
from trunkline_kit.errors import ConfigError

_log = logging.getLogger(__name__)

Signature = tuple[tuple[str, int, int, int], ...]
"""(real path, inode, modification time in ns, size in bytes) per file."""


def signature(path: Path) -> Signature:
    """What changes when the configuration at `path` does, also by a swapped symbolic link.

    Kubernetes updates a ConfigMap's volume by pointing the link `..data` to a new folder: the file's own name and
    often its time stay, its real path does not. Raises ConfigError if nothing is there.
    """
    found = []
    for file in files_of(path):
        real = file.resolve()
        try:
            stat = real.stat()
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
        found.append((str(real), stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


class ConfigSource:
    """Holds what is in force. A bad new file keeps the old one and says so in `error`."""

    def __init__(self, path: Path, loaded: Loaded, seen: Signature | None) -> None:
        self._path = path
        self._seen = seen
        self.current = loaded
        self.error: str | None = None
        """Why the file as it is now was not taken; None when it is in force."""

    def poll(self) -> Loaded | None:
        """Look at the file once. Returns a configuration that differs from the one in force, else None.

        The new one is in force only after `accept`: the services it is for may still refuse it.
        """
        try:
            seen = signature(self._path)
            if seen == self._seen:
                return None
            self._seen = seen
            loaded = load(self._path)
        except ConfigError as error:
            self.reject(error)
            return None
        if loaded.version == self.current.version:
            self.error = None
            return None
        return loaded

    def accept(self, loaded: Loaded) -> None:
        """Put `loaded` in force."""
        self.current = loaded
        self.error = None
        _log.info("configuration %s is in force", loaded.version)

    def reject(self, error: ConfigError) -> None:
        """Keep what is in force and remember why."""
        if str(error) != self.error:
            _log.error("new configuration refused, %s stays in force: %s", self.current.version, error)
        self.error = str(error)

    async def changes(self, poll_s: float) -> AsyncIterator[Loaded]:
        """Yield every good new configuration, looking each `poll_s` seconds. Never ends by itself."""
        while True:
            await asyncio.sleep(poll_s)
            loaded = self.poll()
            if loaded is not None:
                yield loaded


def open_source(path: Path) -> ConfigSource:
    """Load `path` and remember what it looked like. Raises ConfigError."""
    seen = signature(path)
    return ConfigSource(path, load(path), seen)
