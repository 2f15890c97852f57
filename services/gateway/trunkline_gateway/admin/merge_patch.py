"""JSON Merge Patch. Source: RFC 7396, section 2."""

from typing import TypeAlias, Union

Json: TypeAlias = Union[bool, int, float, str, list["Json"], dict[str, "Json"], None]  # noqa: UP007 - it names itself


def merged(target: Json, patch: Json) -> Json:
    """`target` as `patch` wants it; neither is changed.

    Members of objects are merged, null takes a member away, anything else, lists too, stands in place of what was
    there. Raises RecursionError for a patch that is nested beyond reason.
    """
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found
