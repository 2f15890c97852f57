"""Secrets that can be recognised wherever they turn up, and in whichever form."""

import base64
import gc
import hashlib
import json
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from urllib.parse import quote, quote_plus

import msgspec

_CONTEXT_BYTES = 60
_OF_THE_PROCESS = {"PollerCompletionQueue"}
"""gRPC's one poller knows every event loop that used it, and so whatever else ran in this process."""
_PLAIN_TYPES = (ModuleType, type, str, bytes, int, float, bool, type(None))


class Leak(msgspec.Struct, frozen=True):
    """A secret where it must not be."""

    canary: str
    form: str
    place: str
    around: str
    """What stands around it, without the secret itself: reports must not leak either."""


class Canaries:
    """Named secrets, and a search for all of them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._forms: dict[str, dict[bytes, str]] = {}
        for name, value in values.items():
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """One more, such as a key that was made meanwhile. Short ones would be found by chance."""
        if len(value) < 16:
            raise ValueError(f"{name} is too short to be recognised")
        forms = self._forms[name] = {}
        for form, label in forms_of(value):
            forms.setdefault(form, label)

    def leaks(self, place: str, text: str | bytes) -> Iterator[Leak]:
        """Every canary in `text`, in each form that is there."""
        data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        for name, forms in self._forms.items():
            for form, label in forms.items():
                at = data.find(form)
                if at >= 0:
                    around = data[max(0, at - _CONTEXT_BYTES) : at + len(form) + _CONTEXT_BYTES]
                    yield Leak(name, label, place, around.replace(form, b"[HERE]").decode(errors="replace"))


def forms_of(value: str) -> Iterator[tuple[bytes, str]]:
    """What a value can look like: as it is, quoted, encoded, backwards, or merely hashed."""
    data = value.encode()
    yield data, "plain"
    yield data[::-1], "backwards"
    yield quote(value, safe="").encode(), "in a URL"
    yield quote_plus(value).encode(), "in a form"
    yield json.dumps(value)[1:-1].encode(), "in JSON"
    yield repr(value)[1:-1].encode(), "in repr"
    yield ascii(value)[1:-1].encode(), "in repr"
    yield data.hex().encode(), "hex"
    yield hashlib.sha256(data).hexdigest().encode(), "SHA-256, hex"
    yield base64.b64encode(hashlib.sha256(data).digest()).rstrip(b"="), "SHA-256, base64"
    for shift in range(3):
        # However much stands before it (as in `user:password`), one of three is the same.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(shift) + data)
            yield whole[_HEAD[shift] : len(whole) - 4], "base64"


_HEAD = (0, 2, 3)
"""Characters that hold any of the bytes before."""


def objects_of(root: object, package: str) -> Iterator[object]:
    """Everything of `package` that can be reached from `root`, by whatever way: what a `repr` may one day be of."""
    seen: set[int] = {id(root)}
    waiting = [root]
    kept = []
    while waiting:
        found = waiting.pop()
        # What lives only for this walk must not hand its id on.
        kept.append(found)
        if type(found).__module__.partition(".")[0].startswith(package):
            yield found
        for other in _inside(found):
            if id(other) not in seen and not isinstance(other, _PLAIN_TYPES):
                seen.add(id(other))
                waiting.append(other)


def _inside(found: object) -> list[object]:
    if isinstance(found, FunctionType):
        # Not its globals: they are the whole program.
        return [cell.cell_contents for cell in found.__closure__ or () if _is_filled(cell)]
    if (isinstance(found, dict) and "__builtins__" in found) or type(found).__name__ in _OF_THE_PROCESS:
        return []
    return gc.get_referents(found)


def _is_filled(cell: object) -> bool:
    try:
        cell.cell_contents  # type: ignore[attr-defined]  # noqa: B018 - asking is the test
    except ValueError:
        return False
    return True
