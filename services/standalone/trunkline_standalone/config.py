"""What `trunkline up` runs: the settings it has without a file, and which workers they need in this process."""

from msgspec import Struct, structs

from trunkline_kit.errors import ConfigError
from trunkline_kit.providers import Provider, WorkerProvider
from trunkline_kit.settings import Deployment, Listen, Model, Route, Settings
from trunkline_kit.workers import Worker

GENERATOR = "smollm2-135m-instruct"
ENCODER = "all-minilm-l6-v2"
AUTO = "auto"
LOCAL = "local:"


class LocalWorker(Struct, frozen=True):
    """A worker of this process."""

    listen: str
    """`local:…`: what the deployment's target says."""
    worker: Worker


def default_settings() -> Settings:
    """The local model under its own name and as `auto`, and the local encoder."""
    return Settings(
        workers={"generator": Worker(model=GENERATOR), "encoder": Worker(model=ENCODER)},
        providers={"local": WorkerProvider()},
        models={
            "smollm2-135m": Model(deployments=(Deployment(provider="local", model=GENERATOR),), aliases=(GENERATOR,)),
            ENCODER: Model(deployments=(Deployment(provider="local", model=ENCODER),)),
        },
        routes={AUTO: Route(otherwise=("smollm2-135m",))},
    )


def on_port(listen: Listen, port: int | None) -> Listen:
    """The same with another HTTP port, if one is given."""
    if port is None:
        return listen
    host, _, _ = listen.http.rpartition(":")
    return structs.replace(listen, http=f"{host}:{port}")


def local_workers(settings: Settings) -> tuple[LocalWorker, ...]:
    """One worker for every `local:` target that a model is deployed at, with the settings under `workers:` if any.

    Raises ConfigError when two models share a target: a worker runs one model.
    """
    found: dict[str, LocalWorker] = {}
    for name, model in settings.models.items():
        for deployment in model.deployments:
            target = _target(settings.providers.get(deployment.provider), deployment.model)
            if not target.startswith(LOCAL):
                continue
            needed = LocalWorker(target, _worker_for(settings, deployment.model))
            if found.setdefault(target, needed).worker.model != deployment.model:
                raise ConfigError(
                    f"models.{name}: {target} already runs {found[target].worker.model};"
                    " a worker runs one model, so put `{model}` into the provider's target"
                )
    return tuple(found.values())


def _target(provider: Provider | None, model: str) -> str:
    return provider.target.replace("{model}", model) if isinstance(provider, WorkerProvider) else ""


def _worker_for(settings: Settings, model: str) -> Worker:
    return next((worker for worker in settings.workers.values() if worker.model == model), Worker(model=model))
