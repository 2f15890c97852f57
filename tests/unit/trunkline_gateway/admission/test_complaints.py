"""One line at once, then few, with how many were left out."""

import logging

from trunkline_gateway.admission.complaints import PAUSE_S, Complaints


def test_lines_are_few_and_none_is_forgotten(caplog):
    complaints = Complaints(logging.getLogger("complaints"))
    for number in range(1_000):
        complaints.say("it failed", f"reason {number}", number * PAUSE_S / 1_000)
    complaints.say("it failed", "x" * 1_000, PAUSE_S)
    complaints.say("it failed", "again", 2 * PAUSE_S)
    first, second, third = (record.getMessage() for record in caplog.records)
    assert first == "it failed: reason 0"
    assert second == f"it failed: {'x' * 200} (999 more lines like this were left out)"
    assert third == "it failed: again"
