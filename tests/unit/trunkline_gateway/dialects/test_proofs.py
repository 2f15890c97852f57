import pytest

from trunkline_gateway.dialects.canonical import Reasoning
from trunkline_gateway.dialects.proofs import sealed, unsealed

THOUGHTS = [
    Reasoning(text="t", signature="s=/+", origin="anthropic"),
    Reasoning(text="t", signature="s", origin="gemini"),
    Reasoning(encrypted="e", origin="anthropic"),
    Reasoning(encrypted="e", origin="openai"),
    Reasoning(text="t"),
]


@pytest.mark.parametrize("own", ["anthropic", "openai"])
@pytest.mark.parametrize("thought", THOUGHTS)
def test_a_proof_survives_every_dialect(thought, own):
    back = unsealed(thought.text, sealed(thought, own), own, encrypted=bool(thought.encrypted))
    assert back == thought


def test_own_proofs_have_no_mark():
    assert sealed(THOUGHTS[0], "anthropic") == "s=/+"
    assert sealed(THOUGHTS[1], "anthropic") == "trunkline.gemini.signature.s"
    assert sealed(Reasoning(text="t"), "anthropic") == ""
