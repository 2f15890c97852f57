"""One configuration, made ready for requests: built whole, swapped whole, never changed in place."""

import random
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from trunkline_gateway.auth import Principal
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.plan import Target, order
from trunkline_kit.errors import ModelNotFound
from trunkline_kit.settings import Policy, Retries, Route, Timeouts


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A model that callers may name."""

    name: str
    targets: tuple[Target, ...]
    fallbacks: tuple[str, ...]
    timeouts: Timeouts
    retries: Retries


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

    def targets(self, names: Sequence[str], dice: random.Random) -> tuple[Target, ...]:
        """Where a request for the first of `names` may go, in order: itself, its fallbacks, then the other names."""
        groups = [self.offers[name].targets for name in self._with_fallbacks(names)]
        return order(groups, _rolls(dice))

    def _with_fallbacks(self, names: Sequence[str]) -> list[str]:
        first = self.offers[names[0]]
        return list(dict.fromkeys((names[0], *first.fallbacks, *names[1:])))


def build(config: GatewayConfig, now_s: float) -> Catalogue:
    """Everything that callers may name."""
    offers = {
        name: Offer(
            name=name,
            targets=tuple(Target(name, item.provider, item.model, item.weight) for item in model.deployments),
            fallbacks=model.fallbacks.on_error,
            timeouts=model.timeouts,
            retries=model.retries,
        )
        for name, model in config.models.items()
    }
    return Catalogue(
        offers=offers,
        aliases={alias: name for name, model in config.models.items() for alias in model.aliases},
        routes=config.routes,
        policies=config.policies,
        created_s=int(now_s),
    )


def _rolls(dice: random.Random) -> Iterator[float]:
    while True:
        yield dice.random()
