"""What the gateway takes from `trunkline.yaml`, and what of it is not enforced yet."""

from collections.abc import Iterator
from typing import Self

import msgspec

from trunkline_kit.accounts import Ledger, Prices
from trunkline_kit.errors import ConfigError
from trunkline_kit.identity import Identity
from trunkline_kit.providers import Provider
from trunkline_kit.resilience import Idempotency
from trunkline_kit.secrets import Secret
from trunkline_kit.settings import (
    Key,
    Listen,
    Model,
    OnFail,
    Policy,
    Responses,
    Route,
    Server,
    Services,
    Settings,
    Stores,
)
from trunkline_kit.tenants import Org, Project, Tag, Team


class ExtraKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that is not in the file, such as the one that `trunkline up` makes. Only its hash is ever here."""

    id: str
    sha256: bytes
    """32 bytes."""
    team: str = "default"
    models: tuple[str, ...] = ("*",)
    policy: str | None = None


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides what this gateway does."""

    listen: Listen = Listen()
    services: Services = Services()
    server: Server = Server()
    stores: Stores = Stores()
    redis: Secret | None = None
    """Where `stores.redis` is, for whoever knows it better, such as `trunkline up` with its own; None: as it says."""
    database: Secret | None = None
    """The same for `stores.database`."""
    prices: Prices = Prices()
    ledger: Ledger = Ledger()
    responses: Responses = Responses()
    idempotency: Idempotency = Idempotency()
    providers: dict[str, Provider] = {}
    models: dict[str, Model] = {}
    routes: dict[str, Route] = {}
    orgs: dict[str, Org] = {}
    teams: dict[str, Team] = {}
    projects: dict[str, Project] = {}
    tags: dict[str, Tag] = {}
    identity: Identity = Identity()
    pepper: Secret | None = None
    """The same for `identity.pepper`."""
    keys: tuple[Key, ...] = ()
    policies: dict[str, Policy] = {}
    extra_keys: tuple[ExtraKey, ...] = ()

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        extra_keys: tuple[ExtraKey, ...] = (),
        redis: Secret | None = None,
        database: Secret | None = None,
        pepper: Secret | None = None,
    ) -> Self:
        """The gateway's part of the settings. Raises ConfigError for what this version cannot serve at all."""
        config = cls(
            listen=settings.listen,
            services=settings.services,
            server=settings.server,
            stores=settings.stores,
            redis=redis,
            database=database,
            prices=settings.prices,
            ledger=settings.ledger,
            responses=settings.responses,
            idempotency=settings.idempotency,
            providers=settings.providers,
            models=settings.models,
            routes=settings.routes,
            orgs=settings.orgs,
            teams=settings.teams,
            projects=settings.projects,
            tags=settings.tags,
            identity=settings.identity,
            pepper=pepper,
            keys=settings.keys,
            policies=settings.policies,
            extra_keys=extra_keys,
        )
        config.check()
        return config

    def check(self) -> None:
        """Raises ConfigError, with the path inside the file."""
        for name, model in self.models.items():
            for index, deployment in enumerate(model.deployments):
                place = f"models.{name}.deployments[{index}]"
                if deployment.provider not in self.providers:
                    raise ConfigError(f"{place}: there is no provider {deployment.provider!r} under providers:")
            if model.shadow is not None and model.shadow.provider not in self.providers:
                raise ConfigError(
                    f"models.{name}.shadow: there is no provider {model.shadow.provider!r} under providers:"
                )
            for kind in ("on_error", "on_context_window", "on_content_policy"):
                self._check_names(f"models.{name}.fallbacks.{kind}", getattr(model.fallbacks, kind))
        for name, route in self.routes.items():
            if name in self.models:
                raise ConfigError(f"routes.{name}: a model has the same name; rename one of them")
            self._check_names(f"routes.{name}.otherwise", route.otherwise)
        for key in self.keys:
            if key.policy is not None and key.policy not in self.policies:
                raise ConfigError(f"keys: {key.id!r} has policy {key.policy!r}, which is not under policies:")

    def _check_names(self, place: str, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.models:
                raise ConfigError(f"{place}: there is no model {name!r} under models:")


def unenforced(settings: Settings, *, has_database: bool = False) -> list[str]:
    """One line for each setting that is understood but does nothing in this version.

    `has_database`: the gateway was given one that the settings do not know of.
    """
    return [
        *_of_policies(settings),
        *_of_ledger(settings, has_database=has_database),
    ]


def _of_ledger(settings: Settings, *, has_database: bool) -> Iterator[str]:
    if settings.stores.database is None and not has_database:
        yield "stores.database: a gateway alone keeps no usage ledger without it; `trunkline up` brings its own"


def _of_policies(settings: Settings) -> Iterator[str]:
    for name, policy in settings.policies.items():
        if policy.guardrails.output:
            yield f"policies.{name}.guardrails.output: answers are not checked yet"
        if any(check.on_fail is OnFail.RETRY for check in policy.guardrails.input):
            yield f"policies.{name}.guardrails.input: on_fail retry makes no sense before the model; it only flags"
        if policy.cache.semantic is not None:
            yield f"policies.{name}.cache.semantic: only the exact cache is there yet"
