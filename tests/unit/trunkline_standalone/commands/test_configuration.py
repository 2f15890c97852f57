import json
from datetime import UTC, datetime

import msgspec
import pytest

from trunkline_kit.config import decode
from trunkline_kit.config_check import Level
from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Settings
from trunkline_standalone.commands.configuration import findings, run_check, run_schema, schema
from trunkline_standalone.config import default_settings

WORKER = {"local": {"kind": "worker"}}
SMALL = {"small": {"deployments": [{"provider": "local", "model": "a"}]}}


def found(**parts) -> list[tuple[str, str]]:
    return [(finding.level.value, finding.path) for finding in findings(decode(parts, Settings))]


def test_the_default_is_without_findings():
    assert findings(default_settings()) == []


def test_what_the_kit_finds_comes_first():
    listed = found(providers=WORKER, models=SMALL, routes={"auto": {"classifier": "x", "otherwise": ["none"]}})
    assert listed[0] == ("error", "routes.auto.otherwise")
    assert ("warning", "routes.auto.classifier") in listed


NOW_S = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
OPENAI = {"openai": {"kind": "openai"}}
MINI = {"mini": {"deployments": [{"provider": "openai", "model": "gpt-4o-mini"}]}}


def told(**parts) -> list[str]:
    tree = {"providers": OPENAI, "models": MINI, "stores": {"database": "postgresql://db/trunkline"}, **parts}
    return [f"{found.level.value}: {found}" for found in findings(decode(tree, Settings), NOW_S)]


@pytest.mark.parametrize(
    ("prices", "says"),
    [
        ({"overrides": [{"provider": "opnai", "input_usd": 1}]}, "error: prices.overrides[0].provider: there is no"),
        ({"overrides": [{"provider": "openai"}]}, "error: prices.overrides[0].input_usd: no price: give one of"),
        ({"listed_as": {"openai": "opnai"}}, "error: prices.listed_as.openai: no provider 'opnai' in the price table"),
        ({"listed_as": {"gone": "openai"}}, "warning: prices.listed_as.gone: no provider `gone`"),
        ({"table": "/nowhere/prices.json"}, "error: prices.table: cannot read /nowhere/prices.json"),
        (
            {"overrides": [{"provider": "openai", "model": "gpt-9", "input_usd": 1}]},
            "warning: prices.overrides[0]: the override of gpt-9 at openai has no effect: no model under models:",
        ),
        (
            {"overrides": [{"provider": "openai", "input_usd": 1}, {"provider": "openai", "input_usd": 2}]},
            "warning: prices.overrides[1]: the override of * at openai has no effect: prices.overrides[0] holds",
        ),
    ],
)
def test_prices_are_checked_as_a_gateway_would(prices, says):
    assert [line for line in told(prices=prices) if line.startswith(says)], told(prices=prices)


def test_a_price_list_that_serves_has_no_findings():
    assert told(prices={"overrides": [{"provider": "openai", "input_usd": 0}]}) == []


@pytest.mark.parametrize(("unpriced", "meaning"), [("allow", "it is in no bill"), ("refuse", "requests for it are re")])
def test_a_model_without_a_price_is_a_warning(unpriced, meaning):
    (line,) = told(
        models={"m": {"deployments": [{"provider": "openai", "model": "x-1"}]}}, prices={"unpriced": unpriced}
    )
    assert line.startswith(f"warning: models.m.deployments[0]: x-1 at openai has no price: {meaning}")


def test_a_key_that_has_expired_is_a_warning():
    hashed = "sha256:" + 64 * "0"
    old = {"secret": hashed, "until": "2026-11-01T00:00:00Z"}
    keys = [
        {"id": "a", "secret": hashed, "expires_at": "2026-11-24T00:00:00Z"},
        {"id": "b", "secret": hashed, "expires_at": "2026-11-25T00:00:00Z", "previous": old},
    ]
    assert told(keys=keys) == [
        "warning: keys[0].expires_at: key `a` expired at 2026-11-24T00:00:00+00:00; nobody can use it any more",
        "warning: keys[1].previous: the old secret of key `b` ended at 2026-11-01T00:00:00+00:00; it can be removed",
    ]


def test_a_spool_that_cannot_be_made_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    (line,) = told(ledger={"spool_dir": str(tmp_path / "file" / "spool")})
    assert line.startswith("warning: ledger.spool_dir: cannot make ")
    assert told(ledger={"spool_dir": str(tmp_path / "new" / "spool")}) == []
    assert not (tmp_path / "new").exists()


def test_two_models_on_one_worker_is_an_error():
    models = {name: {"deployments": [{"provider": "local", "model": name}]} for name in "ab"}
    assert ("error", "models.b") in found(providers={"local": {"kind": "worker", "target": "local:w"}}, models=models)


def test_what_does_nothing_yet_is_a_warning_once():
    listed = found(
        providers=WORKER,
        models=SMALL,
        policies={"p": {"cache": {"semantic": {"max_error_rate": 0.1}}}},
    )
    assert listed.count(("warning", "policies.p.cache.semantic")) == 1


def test_check_prints_and_judges(tmp_path, capsys):
    file = tmp_path / "trunkline.yaml"
    file.write_text(json.dumps({"providers": WORKER, "models": SMALL}))
    run_check(file)
    assert capsys.readouterr().out == f"{file}: can be served\n"
    file.write_text(json.dumps({"models": SMALL}))
    with pytest.raises(ConfigError, match="1 error; nothing would start"):
        run_check(file)
    assert "error: models.small.deployments[0].provider: no provider `local`" in capsys.readouterr().out


def test_the_schema_has_every_name_and_the_kinds_of_providers(capsys):
    run_schema()
    whole = json.loads(capsys.readouterr().out)
    assert set(whole["$defs"]["Settings"]["properties"]) == set(Settings.__struct_fields__)
    provider = whole["$defs"]["Settings"]["properties"]["providers"]["additionalProperties"]
    over_http = {"openai", "azure", "anthropic", "gemini", "vertex", "bedrock", "cohere"}
    assert set(provider["discriminator"]["mapping"]) == {"worker", "litellm"} | over_http
    assert not whole["$defs"]["Settings"]["additionalProperties"]


def test_every_reference_of_the_schema_leads_somewhere():
    text = schema().decode()
    whole = msgspec.json.decode(text)
    names = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert names <= set(whole["$defs"])


def test_levels_are_known():
    assert {level.value for level in Level} == {"error", "warning"}
