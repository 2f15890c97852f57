"""What a deployment is called."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.plan import Failure, FailureKind, Target

names = st.text(min_size=1, max_size=5)


@given(names, names, names, st.floats(0.1, 9))
def test_a_target_names_its_place_and_its_account_whatever_leads_to_it(model, provider, provider_model, weight):
    target = Target(model, provider, provider_model, weight)
    other = Target("another", provider, provider_model)
    assert target.place == other.place == (provider, provider_model)
    assert target.key == other.key
    assert target.account == provider
    assert Failure(target, FailureKind.BROKEN).place == target
