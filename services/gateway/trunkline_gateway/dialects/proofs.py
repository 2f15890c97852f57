"""What a provider needs to trust its own model's thoughts again, carried through clients of any dialect. Pure.

A dialect has one place for such a text, whoever wrote it. What is not of the dialect's own provider is put there behind
a mark that says whose it is and which kind; coming back, the mark tells, and what has none is the dialect's own.
"""

import re

from trunkline_gateway.dialects.canonical import Reasoning

_MARK = re.compile(r"trunkline\.(?P<origin>[a-z0-9_-]+)\.(?P<kind>signature|encrypted)\.", re.ASCII)


def sealed(thought: Reasoning, own: str = "") -> str:
    """The proof of a thought for one text field; `own` proofs stay as they are. Empty where there is none."""
    text = thought.encrypted or thought.signature
    if not text or thought.origin == own:
        return text
    kind = "encrypted" if thought.encrypted else "signature"
    return f"trunkline.{thought.origin or 'unknown'}.{kind}.{text}"


def unsealed(text: str, proof: str, own: str, *, encrypted: bool) -> Reasoning:
    """The inverse: a thought from its `text` and its `proof`, which is encrypted or a signature where it is `own`."""
    found = _MARK.match(proof)
    if found is None:
        origin = own if proof else ""
        kind = "encrypted" if encrypted else "signature"
    else:
        origin, kind, proof = found["origin"], found["kind"], proof[found.end() :]
    if kind == "encrypted":
        return Reasoning(text=text, encrypted=proof, origin=origin)
    return Reasoning(text=text, signature=proof, origin=origin)
