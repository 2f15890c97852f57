import pytest

from trunkline_guardrails.policy import Action, ActiveCheck, compile_policies, unenforced
from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import CachePolicy, Check, ExactCache, GuardrailPolicy, OnFail, Policy


def policy(*checks, output=()):
    return Policy(guardrails=GuardrailPolicy(input=checks, output=output))


SECRETS = Check(check="secrets", on_fail=OnFail.FLAG)
PII = Check(check="pii", on_fail=OnFail.REDACT)


@pytest.mark.parametrize(
    ("on_fail", "action"),
    [(OnFail.FLAG, Action.FLAG), (OnFail.REDACT, Action.REDACT), (OnFail.BLOCK, Action.BLOCK)],
)
def test_the_checks_that_run_are_compiled(on_fail, action):
    table = compile_policies({"default": policy(PII, Check(check="secrets", on_fail=on_fail))})
    assert table.policies["default"].input == (ActiveCheck("secrets", action),)


def test_the_strictest_of_two_reactions_counts():
    twice = policy(Check(check="secrets", on_fail=OnFail.BLOCK), SECRETS)
    assert compile_policies({"p": twice}).policies["p"].input == (ActiveCheck("secrets", Action.BLOCK),)


def test_a_check_nobody_knows_is_refused_with_its_path():
    with pytest.raises(
        ConfigError, match=r"policies\.p\.guardrails\.output\[0\]\.check: no check `secretz`; there are"
    ):
        compile_policies({"p": policy(SECRETS, output=(Check(check="secretz", on_fail=OnFail.FLAG),))})


def test_names_of_our_own_are_refused():
    with pytest.raises(ConfigError, match=r"policies\.@all"):
        compile_policies({"@all": policy()})


def test_a_reaction_that_input_cannot_have_is_refused_with_its_path():
    with pytest.raises(ConfigError, match=r"policies\.p\.guardrails\.input\[1\]\.on_fail: `retry` mends answers"):
        compile_policies({"p": policy(PII, Check(check="secrets", on_fail=OnFail.RETRY))})


def test_what_does_not_run_is_listed_with_its_path():
    lines = unenforced({"p": policy(PII, SECRETS, output=(SECRETS,)), "q": policy(SECRETS)})
    assert [line.split(":")[0] for line in lines] == [
        "policies.p.guardrails.input[0]",
        "policies.p.guardrails.output[0]",
    ]


def test_the_version_follows_what_is_guarded_and_nothing_else():
    version = compile_policies({"p": policy(SECRETS)}).version
    cached = Policy(guardrails=GuardrailPolicy(input=(SECRETS,)), cache=CachePolicy(exact=ExactCache(ttl_s=1)))
    assert compile_policies({"p": cached}).version == version
    assert compile_policies({"p": policy(PII)}).version != version


def test_actions_are_ordered_by_strictness():
    assert sorted(Action) == [Action.ALLOW, Action.FLAG, Action.REDACT, Action.BLOCK]
