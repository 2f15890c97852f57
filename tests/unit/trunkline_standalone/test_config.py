import pytest

from trunkline_kit.config import decode
from trunkline_kit.config_check import check
from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Listen, Settings
from trunkline_kit.workers import Worker
from trunkline_standalone.config import default_settings, local_workers, on_port


def settings(**parts) -> Settings:
    return decode(parts, Settings)


def at(provider, *models):
    return {model: {"deployments": [{"provider": provider, "model": model}]} for model in models}


def test_without_a_file_nothing_is_wrong():
    assert check(default_settings()) == []


def test_without_a_file_there_are_two_workers():
    assert [(local.listen, local.worker.model) for local in local_workers(default_settings())] == [
        ("local:worker-smollm2-135m-instruct", "smollm2-135m-instruct"),
        ("local:worker-all-minilm-l6-v2", "all-minilm-l6-v2"),
    ]


def test_a_worker_has_the_settings_given_for_its_model():
    given = settings(
        workers={"big": {"model": "a", "slots": 3}, "other": {"model": "c"}},
        providers={"local": {"kind": "worker"}},
        models=at("local", "a", "b"),
    )
    assert [local.worker for local in local_workers(given)] == [Worker(model="a", slots=3), Worker(model="b")]


def test_workers_elsewhere_and_other_providers_need_none_here():
    given = settings(
        providers={"far": {"kind": "worker", "target": "dns:///worker:9090"}, "openai": {"kind": "openai"}},
        models=at("far", "a") | at("openai", "b"),
    )
    assert local_workers(given) == ()


def test_a_model_under_two_names_has_one_worker():
    deployments = [{"provider": "local", "model": "a"}]
    given = settings(
        providers={"local": {"kind": "worker"}},
        models={"one": {"deployments": deployments}, "two": {"deployments": deployments}},
    )
    assert len(local_workers(given)) == 1


def test_two_models_cannot_share_a_worker():
    given = settings(providers={"local": {"kind": "worker", "target": "local:w"}}, models=at("local", "a", "b"))
    with pytest.raises(ConfigError, match=r"models\.b: local:w already runs a"):
        local_workers(given)


@pytest.mark.parametrize(
    ("listen", "port", "http"),
    [
        ("127.0.0.1:8080", None, "127.0.0.1:8080"),
        ("127.0.0.1:8080", 9, "127.0.0.1:9"),
        ("[::]:8080", 0, "[::]:0"),
    ],
)
def test_another_port(listen, port, http):
    assert on_port(Listen(http=listen), port).http == http
