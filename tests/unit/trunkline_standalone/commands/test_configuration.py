import json

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


def test_what_a_service_refuses_is_an_error():
    anthropic = {"claude": {"kind": "anthropic"}}
    models = {"claude": {"deployments": [{"provider": "claude", "model": "c"}]}}
    assert found(providers=anthropic, models=models)[0] == ("error", "models.claude.deployments[0]")


def test_two_models_on_one_worker_is_an_error():
    models = {name: {"deployments": [{"provider": "local", "model": name}]} for name in "ab"}
    assert ("error", "models.b") in found(providers={"local": {"kind": "worker", "target": "local:w"}}, models=models)


def test_what_does_nothing_yet_is_a_warning_once():
    listed = found(
        providers=WORKER,
        models={"small": SMALL["small"] | {"hedge": {}}},
        policies={"p": {"cache": {"semantic": {"max_error_rate": 0.1}}}},
    )
    assert listed.count(("warning", "policies.p.cache.semantic")) == 1
    assert ("warning", "models.small.hedge") in listed


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
    assert set(provider["discriminator"]["mapping"]) == {"worker", "openai", "anthropic"}
    assert not whole["$defs"]["Settings"]["additionalProperties"]


def test_every_reference_of_the_schema_leads_somewhere():
    text = schema().decode()
    whole = msgspec.json.decode(text)
    names = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert names <= set(whole["$defs"])


def test_levels_are_known():
    assert {level.value for level in Level} == {"error", "warning"}
