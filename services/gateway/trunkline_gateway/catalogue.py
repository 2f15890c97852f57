"""One configuration, made ready for requests: built whole, swapped whole, never changed in place."""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from trunkline_gateway.auth import Principal
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.dialects.canonical import Dialect
from trunkline_gateway.fleet.deployments import Watch, watch_of
from trunkline_gateway.fleet.fitness import Lacks, lacks_of
from trunkline_gateway.fleet.meters import Place
from trunkline_gateway.plan import CANARY, STABLE, Target
from trunkline_kit.errors import ModelNotFound
from trunkline_kit.profiles import NOTHING, resolved
from trunkline_kit.providers import Provider as ProviderSettings
from trunkline_kit.providers import profile_of, settled
from trunkline_kit.resilience import Shadow
from trunkline_kit.settings import Balance, Deployment, Hedge, Model, Policy, Retries, Route, Timeouts


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A model that callers may name."""

    name: str
    targets: tuple[Target, ...]
    fallbacks: tuple[str, ...]
    """Other models to try after an error."""
    on_context: tuple[str, ...] = ()
    """Instead of those, when prompt and answer do not fit."""
    on_policy: tuple[str, ...] = ()
    """Instead of those, when the provider's filter objects."""
    timeouts: Timeouts
    retries: Retries
    balance: Balance = Balance.WEIGHTED
    sticky: bool = False
    hedge: Hedge | None = None
    shadow: Shadow | None = None
    shadow_target: Target | None = None
    watch: Watch = Watch()
    lacks: Mapping[Dialect, Lacks] = {}
    """What its targets cannot do, for those dialects whose requests may ask for it."""

    @property
    def places(self) -> list[Place]:
        """Every deployment that may get requests for it."""
        shadow = () if self.shadow_target is None else (self.shadow_target,)
        return [target.place for target in (*self.targets, *shadow)]

    @property
    def leads_to(self) -> tuple[str, ...]:
        """All other models that may answer in its place."""
        return (*self.fallbacks, *self.on_context, *self.on_policy)


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """All names and policies of one configuration."""

    offers: Mapping[str, Offer]
    aliases: Mapping[str, str]
    routes: Mapping[str, Route]
    policies: Mapping[str, Policy]
    bills: frozenset[str] = frozenset()
    """Providers that charge for what they generate after a disconnect."""
    created_s: int
    """When it came into force, seconds since the epoch: `created` of its models."""

    def resolve(self, name: str, principal: Principal) -> "Offer | Route":
        """What `name` stands for. Raises ModelNotFound, the same for a name that is not there and one not allowed."""
        public = self.aliases.get(name, name)
        found = self.offers.get(public) or self.routes.get(public)
        if found is None or not (principal.allows(public) or principal.allows(name)):
            raise ModelNotFound(
                f"the model {name!r} does not exist or your key may not use it; GET /v1/models lists yours",
                param="model",
            )
        return found

    def visible(self, principal: Principal) -> list[str]:
        """Names of models and routes that this key may use."""
        return [name for name in (*self.offers, *self.routes) if principal.allows(name)]

    def policy_of(self, principal: Principal) -> Policy | None:
        return None if principal.policy is None else self.policies.get(principal.policy)


def build(config: GatewayConfig, now_s: float) -> Catalogue:
    """Everything that callers may name."""
    offers = {name: _offer(name, model, config.providers) for name, model in config.models.items()}
    return Catalogue(
        offers=offers,
        aliases={alias: name for name, model in config.models.items() for alias in model.aliases},
        routes=config.routes,
        policies=config.policies,
        bills=frozenset(name for name, settings in config.providers.items() if _bills(settings)),
        created_s=int(now_s),
    )


def _bills(settings: ProviderSettings) -> bool:
    return bool(getattr(settled(settings), "bills_after_disconnect", None))


def _target(name: str, item: Deployment, settings: ProviderSettings | None) -> Target:
    provider = NOTHING if settings is None else profile_of(settings)
    profile = resolved(item.model, item.profile, provider)
    return Target(
        name,
        item.provider,
        item.model,
        item.weight,
        item.context_tokens or profile.context_tokens,
        None if profile == NOTHING else profile,
    )


def _shadow_of(name: str, model: Model, providers: Mapping[str, ProviderSettings]) -> Target | None:
    shadow = model.shadow
    if shadow is None:
        return None
    return _target(name, Deployment(provider=shadow.provider, model=shadow.model), providers.get(shadow.provider))


def _offer(name: str, model: Model, providers: Mapping[str, ProviderSettings]) -> Offer:
    targets = tuple(_target(name, item, providers.get(item.provider)) for item in model.deployments)
    if any(item.canary for item in model.deployments):
        labels = (CANARY if item.canary else STABLE for item in model.deployments)
        targets = tuple(replace(target, arm=arm) for target, arm in zip(targets, labels, strict=True))
    places = [target.place for target in targets]
    return Offer(
        name=name,
        targets=targets,
        fallbacks=model.fallbacks.on_error,
        on_context=model.fallbacks.on_context_window,
        on_policy=model.fallbacks.on_content_policy,
        timeouts=model.timeouts,
        retries=model.retries,
        balance=model.balance,
        sticky=model.sticky,
        hedge=model.hedge,
        shadow=model.shadow,
        shadow_target=_shadow_of(name, model, providers),
        watch=watch_of(model.breaker, places, model.timeouts.first_token_s),
        lacks=lacks_of(targets, providers),
    )
