"""Errors must lead a person to the line; what is right must load; secrets must not come out."""

import re

import pytest

from trunkline_kit.config import decode, load
from trunkline_kit.errors import ConfigError
from trunkline_kit.providers import OpenAIProvider, WorkerProvider
from trunkline_kit.settings import Settings, Timeouts

GOOD = """\
listen: {http: "127.0.0.1:0"}
providers:
  local: {kind: worker}
  openai: {kind: openai, api_key: "env:OPENAI_API_KEY"}
models:
  small:
    deployments: [{provider: local, model: smollm2-135m-instruct}]
    timeouts: {connect_s: 1}
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="trunkline.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def refusal(path):
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value)


def test_loads_with_defaults(write):
    settings = load(write(GOOD)).settings
    assert settings.providers["local"] == WorkerProvider()
    assert settings.providers["openai"] == OpenAIProvider(api_key="env:OPENAI_API_KEY")
    assert settings.models["small"].timeouts == Timeouts(connect_s=1)


def test_an_empty_file_is_all_defaults(write):
    assert load(write("")).settings == Settings()


def test_the_version_names_the_content_not_the_form(write):
    one = load(write("listen: {http: 'a:1', grpc: 'b:2'}\n"))
    same = load(write("listen:\n  grpc: b:2\n  http: a:1\n", "other.yaml"))
    other = load(write("listen: {http: 'a:2', grpc: 'b:2'}\n", "third.yaml"))
    assert one.version == same.version != other.version
    assert re.fullmatch("[0-9a-f]{12}", one.version)


@pytest.mark.parametrize(
    ("text", "line", "path", "words"),
    [
        ("lissten: {}\n", 1, "lissten", "did you mean `listen`"),
        (GOOD.replace("connect_s", "conect_s"), 8, "models.small.timeouts.conect_s", "did you mean `connect_s`"),
        (GOOD.replace("model:", "modle:"), 7, "models.small.deployments[0].modle", "did you mean `model`"),
        (GOOD.replace("kind: openai", "kind: opnai"), 4, "providers.openai", "opnai"),
        (GOOD.replace("connect_s: 1", "connect_s: fast"), 8, "models.small.timeouts.connect_s", "float"),
        (GOOD.replace("connect_s: 1", "connect_s: 0"), 8, "models.small.timeouts.connect_s", "> 0"),
        (GOOD.replace("env:OPENAI_API_KEY", "sk-oops"), 4, "providers.openai.api_key", "env:NAME or file:/path"),
        ("keys: [{id: a, secret: tl-x}]\n", 1, "keys[0].secret", "never the key itself"),
        ("routes: {auto: {}}\n", 1, "routes.auto", "otherwise"),
        ("telemetry: {log_level: loud}\n", 1, "telemetry.log_level", "debug, info, warning, error"),
        ("models: {m: {deployments: []}}\n", 1, "models.m.deployments", "length >= 1"),
    ],
)
def test_an_error_names_file_line_path_and_cure(write, text, line, path, words):
    message = refusal(write(text))
    assert f"trunkline.yaml:{line}: {path}: " in message
    assert words in message
    assert "regex" not in message


def test_a_secret_written_in_place_of_a_reference_is_not_repeated(write):
    assert "hunter2" not in refusal(write(GOOD.replace("env:OPENAI_API_KEY", "sk-hunter2")))


def test_yaml_mistakes_name_the_line(write):
    assert "trunkline.yaml:3: " in refusal(write("listen: {}\nmodels: [\n"))
    assert "trunkline.yaml:2: `a` is given twice" in refusal(write("models: {}\nproviders: {a: {}, a: {}}\n"))
    assert "must be a mapping" in refusal(write("- 1\n"))


def test_a_missing_file_says_what_to_give(tmp_path):
    assert "--config" in refusal(tmp_path / "nowhere.yaml")
    assert "no .yaml file" in refusal(tmp_path)


def test_a_folder_is_merged_in_order_of_name(write, tmp_path):
    write("keys: [{id: a, secret: 'env:A'}]\nmodels: {}\n", "10.yaml")
    write("keys: [{id: b, secret: 'env:B'}]\nproviders: {local: {kind: worker}}\n", "20.yml")
    write("not: yaml: at: all", "notes.txt")
    settings = load(tmp_path).settings
    assert [key.id for key in settings.keys] == ["a", "b"]
    assert list(settings.providers) == ["local"]


def test_one_value_in_two_files_is_an_error(write, tmp_path):
    write("listen: {http: 'a:1'}\n", "10.yaml")
    write("listen: {http: 'a:2'}\n", "20.yaml")
    assert "20.yaml: `listen.http` is already set" in refusal(tmp_path)


def test_decode_names_the_path():
    with pytest.raises(ConfigError, match=r"connect_s: Expected `float`"):
        decode({"connect_s": "x"}, Timeouts)


@pytest.mark.parametrize(("text", "mark"), [("*hunter2", "*"), ("!hunter2", "!")])
def test_text_that_yaml_takes_for_something_else_is_not_repeated(tmp_path, text, mark):
    file = tmp_path / "trunkline.yaml"
    file.write_text(f"listen:\n  http: {text}\n")
    with pytest.raises(ConfigError, match=f"trunkline.yaml:2: a text that begins with [{mark}]") as refused:
        load(file)
    assert "hunter2" not in str(refused.value)
