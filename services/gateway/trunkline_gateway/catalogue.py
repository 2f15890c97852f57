"""One configuration, made ready for requests: built whole, swapped whole, never changed in place."""

from collections.abc import Mapping

import msgspec

from trunkline_gateway.auth import Principal
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.fleet.deployments import Watch, watch_of
from trunkline_gateway.plan import Target
from trunkline_kit.errors import ModelNotFound
from trunkline_kit.settings import Balance, Hedge, Model, Policy, Retries, Route, Timeouts


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
    watch: Watch = Watch()

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
    offers = {name: _offer(name, model) for name, model in config.models.items()}
    return Catalogue(
        offers=offers,
        aliases={alias: name for name, model in config.models.items() for alias in model.aliases},
        routes=config.routes,
        policies=config.policies,
        created_s=int(now_s),
    )


def _offer(name: str, model: Model) -> Offer:
    targets = tuple(
        Target(name, item.provider, item.model, item.weight, item.context_tokens) for item in model.deployments
    )
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
        watch=watch_of(model.breaker, places, model.timeouts.first_token_s),
    )
