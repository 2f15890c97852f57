"""What is renewed, when, and what is given up."""

from trunkline_gateway.admission.holds import RENEW_S, Hold, Holds, Ticket
from trunkline_gateway.admission.levels import Measure
from trunkline_gateway.admission.wire import Amend, Claim, Kind

CLAIMS = (
    Claim(Kind.WINDOW, "r", 9, 1, 3_000),
    Claim(Kind.WINDOW, "t", 99, 10, 3_000),
    Claim(Kind.CONCURRENT, "c", 9, 1),
)
MEASURES = (Measure.REQUESTS, Measure.TOKENS, Measure.CONCURRENT)


def hold(lease_key="l", due_s=1_000.0):
    return Hold(lease_key=lease_key, tag="{o}", claims=CLAIMS, measures=MEASURES, admitted_ms=5, due_s=due_s)


def test_only_what_is_old_is_renewed_and_then_it_is_new_again():
    holds = Holds()
    for number in range(5):
        holds.add(hold(f"l{number}"), float(number))
    assert holds.due(RENEW_S - 0.001) == []
    assert [one.lease_key for one in holds.due(RENEW_S + 2)] == ["l0", "l1", "l2"]
    assert [one.lease_key for one in holds.due(RENEW_S + 4)] == ["l3", "l4"]
    assert [one.lease_key for one in holds.due(2 * RENEW_S + 2)] == ["l0", "l1", "l2"]
    assert len(holds) == 5


def test_what_is_over_is_not_renewed():
    holds = Holds()
    holds.add(hold(), 0.0)
    holds.remove(hold())
    holds.remove(hold())
    assert holds.due(1_000) == []


def test_what_never_ends_is_given_up():
    holds = Holds()
    holds.add(hold(due_s=25.0), 0.0)
    assert len(holds.due(20.0)) == 1
    assert holds.due(30.0) == []
    assert len(holds) == 0


def test_requests_are_settled_by_being_admitted_and_undone_only_with_everything():
    settled = hold().settlement({Measure.TOKENS: 7})
    assert settled.amends == (Amend(Kind.WINDOW, "t", 10, 7, 3_000), Amend(Kind.CONCURRENT, "c", 1, 0))
    undone = hold().settlement({}, undo=True)
    assert [(amend.key, amend.estimate, amend.actual) for amend in undone.amends] == [
        ("r", 1, 0),
        ("t", 10, 0),
        ("c", 1, 0),
    ]


def test_a_ticket_knows_which_counters_have_room_again():
    assert list(Ticket(holds=(hold(),)).keys) == ["t", "c"]
    assert list(Ticket(holds=(hold(""),)).keys) == []
