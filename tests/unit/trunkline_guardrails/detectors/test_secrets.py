"""A corpus of invented secrets, put together here so that no scanner of source code takes them for real ones."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline_guardrails.detectors.secrets import RULES, SecretsDetector

LETTERS = "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA"
"""32 characters that look random enough."""
LONG = LETTERS * 3


def pem(label="RSA PRIVATE KEY", newline="\n", end=True):
    lines = [f"-----BEGIN {label}-----", LONG[:64], LONG[:64], "QmFzZQ=="]
    if end:
        lines.append(f"-----END {label}-----")
    return newline.join(lines)


SECRETS = [
    ("aws-access-key", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("aws-access-key", "ASIA" + "Y34FZKBOKMUTVV7A"),
    ("github-token", "ghp_" + LETTERS + "abcd"),
    ("github-token", "gho_" + LETTERS + "abcd"),
    ("github-token", "ghs_" + LETTERS * 2),
    ("github-token", "github_pat_" + LETTERS[:22] + "_" + LONG[:59]),
    ("gitlab-token", "glpat-" + LETTERS[:20]),
    ("slack-token", "xoxb-" + "123456789012-1234567890123-" + LETTERS[:24]),
    ("slack-token", "xapp-" + "1-A0123456789-1234567890123-" + LETTERS),
    ("slack-webhook", "https://hooks.slack.com/services/" + "T00000000/B00000000/" + LETTERS[:24]),
    ("anthropic-key", "sk-ant-" + "api03-" + LONG[:86] + "-" + LETTERS[:6] + "AA"),
    ("openai-key", "sk-" + LETTERS[:20] + "T3BlbkFJ" + LETTERS[:20]),
    ("openai-key", "sk-proj-" + LONG[:74] + "T3BlbkFJ" + LONG[:74]),
    ("openai-key", "sk-svcacct-" + LONG[:60]),
    ("trunkline-key", "tl-" + LETTERS + "_aB3-dE6g"),
    ("google-api-key", "AIza" + "Sy" + LETTERS + "-"),
    ("stripe-key", "sk_live_" + LETTERS[:24]),
    ("stripe-key", "rk_test_" + LETTERS[:24]),
    ("huggingface-token", "hf_" + LETTERS + "ab"),
    ("npm-token", "npm_" + LETTERS + "abcd"),
    ("pypi-token", "pypi-" + "AgEIcHlwaS5vcmc" + LONG),
    ("sendgrid-key", "SG." + LETTERS[:22] + "." + LONG[:43]),
    ("jwt", "eyJ" + LETTERS + ".eyJ" + LETTERS + "." + LONG[:43]),
    ("private-key", pem()),
    ("private-key", pem("PRIVATE KEY")),
    ("private-key", pem("OPENSSH PRIVATE KEY")),
    ("private-key", pem("EC PRIVATE KEY", newline="\\n")),
    ("private-key", pem("PGP PRIVATE KEY BLOCK")),
    (
        "private-key",
        pem("RSA PRIVATE KEY").replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: A,0F\n\n", 1),
    ),
    ("private-key", "-----BEGIN PRIVATE KEY-----"),
]

HARMLESS = [
    "",
    "Please write a haiku about tokens, keys and passwords.",
    "The risk-averse task-runner asks: sk- or not sk-?",
    "export AWS_ACCESS_KEY_ID=AKIA... (fill in yours)",
    "AKIA" + "TOOSHORT",
    "AKIA" + "IOSFODNN7EXAMPLEANDFARTOOLONG",
    "aws_secret_access_key = <your key here>",
    "sk-learn, sk-proj-example, sk_live_short, tl-table, tl-grid-header",
    "ghp_short gho_ghp_ github_pat_1",
    "xoxb-not-a-token",
    "https://hooks.slack.com/services/",
    "-----BEGIN PUBLIC KEY-----\n" + LONG[:64] + "\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----\n" + LONG[:64],
    "eyJhbGciOiJIUzI1NiJ9 alone is a header, not a token",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "550e8400-e29b-41d4-a716-446655440000",
    "4111 1111 1111 1111",
    "data:image/png;base64," + LONG * 20,
    "Größe, слово, 文字, 🙂: nothing to see",
]


@pytest.fixture(scope="module")
def detector():
    return SecretsDetector()


@pytest.mark.parametrize(("kind", "secret"), SECRETS, ids=lambda value: value[:24])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("my key is ", " - is that safe?"),
        ('{"key": "', '"}'),
        ("ключ🙂:", "🙂"),
        ("KEY=", "\nNEXT=1"),
        ("a\\n", "\\nb"),
        ("?k%3D", "&b"),
    ],
)
def test_a_secret_is_found_where_it_stands(detector, kind, secret, before, after):
    matches = detector.scan(before + secret + after, 10)
    assert [match.kind for match in matches] == [kind]
    assert (matches[0].start_chars, matches[0].end_chars) == (len(before), len(before) + len(secret))


@pytest.mark.parametrize("text", HARMLESS, ids=lambda value: value[:24])
def test_what_only_looks_a_little_like_one_is_left_alone(detector, text):
    assert detector.scan(text, 10) == []


@pytest.mark.parametrize(
    "name",
    [
        "aws_secret_access_key",
        "AWS_SECRET_KEY",
        "awsSecretAccessKey",
        "PROD_AWS_SECRET_ACCESS_KEY",
        '"aws_secret_access_key"',
    ],
)
@pytest.mark.parametrize("sign", [" = ", "=", ": ", ': "'])
def test_an_aws_secret_is_known_by_its_name_and_marked_without_it(detector, name, sign):
    secret = "wJalrXUtnFEMI/K7MDENG+" + "bPxRfiCYEXAMPLEKEY"
    text = f"{name}{sign}{secret}"
    (match,) = detector.scan(text, 10)
    assert match.kind == "aws-secret-key"
    assert text[match.start_chars : match.end_chars] == secret


def test_a_key_without_its_end_is_marked_as_far_as_it_goes(detector):
    key = pem(end=False).removesuffix("\nQmFzZQ==")
    text = f"What is this?\n{key}\nand then some words of mine."
    (match,) = detector.scan(text, 10)
    assert text[match.start_chars : match.end_chars] == key


def test_several_are_found_in_order_up_to_the_limit(detector):
    text = " ".join(secret for _, secret in SECRETS)
    assert [match.kind for match in detector.scan(text, 100)] == [kind for kind, _ in SECRETS]
    assert len(detector.scan(text, 3)) == 3
    assert detector.scan(text, 0) == []


def test_every_kind_has_an_example():
    assert {kind for kind, _ in SECRETS} | {"aws-secret-key"} == {rule.kind for rule in RULES}


class Exhausted:
    """A set of rules whose automaton does not fit its memory."""

    def Match(self, text):
        return None


def test_a_kind_is_found_also_when_the_set_of_rules_has_no_memory():
    detector = SecretsDetector()
    text = " ".join(secret for _, secret in SECRETS)
    expected = detector.scan(text, 100)
    detector._which = Exhausted()
    assert detector.scan(text, 100) == expected


plain = st.text(st.characters(codec="utf-8", exclude_characters="\\"), max_size=30)
pieces = st.lists(st.tuples(plain, st.sampled_from(SECRETS)), max_size=5)


@given(pieces, plain)
@example([("", SECRETS[0])], "")
def test_matches_are_ordered_and_do_not_overlap(pieces, tail):
    text = "".join(f"{before} {secret} " for before, (_, secret) in pieces) + tail
    matches = SecretsDetector().scan(text, 100)
    assert len(matches) >= len(pieces)
    end = 0
    for match in matches:
        assert end <= match.start_chars < match.end_chars <= len(text)
        end = match.end_chars


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_no_text_breaks_it(text):
    for match in SecretsDetector().scan(text, 100):
        assert text[match.start_chars : match.end_chars]
