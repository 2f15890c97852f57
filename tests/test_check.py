"""What `tools/check` runs, as tests: a clean `tools/test` means a clean `tools/check`."""

import check
import pytest

HERE_ALREADY = {"layout"}
"""Steps that are tests of this run themselves."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "step", [step for step in check.STEPS if step.name not in HERE_ALREADY], ids=lambda step: step.name
)
def test_check(step):
    outcome = check.run(step, fix=False)
    assert outcome.passed, outcome.output
