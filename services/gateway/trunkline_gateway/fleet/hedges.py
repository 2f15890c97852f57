"""When a second attempt is sent beside a slow first one, where to, and what that may cost."""

from trunkline_gateway.catalogue import Offer
from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.fleet.meters import UNAFFORDABLE
from trunkline_gateway.plan import Target
from trunkline_gateway.turn import Turn
from trunkline_policy.hedging import HedgeBudget, earned, spent
from trunkline_policy.retries import Chains


class Hedges:
    """Of all models of this process."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._budgets: dict[str, HedgeBudget] = {}

    def after_s(self, offer: Offer, target: Target) -> float | None:
        """How long the first sign of life of an attempt that is sent now may take before it counts as slow.

        None where nothing is hedged: other models than the one that was asked for, since they give other answers, and
        deployments of which nobody knows yet what is usual.
        """
        hedge = offer.hedge
        if hedge is None or target.model != offer.name:
            return None
        self._budgets[offer.name] = earned(self._budgets.get(offer.name, HedgeBudget()), hedge.max_extra_ratio)
        return self._fleet.of(target.place).times.quantile_s(hedge.after_quantile)

    def second(self, offer: Offer, chains: Chains[Target], turn: Turn, target: Target) -> Target | None:
        """Where to send another one: to a deployment that was not tried, else to the same one again.

        None where the request's attempts or the model's extra requests are used up, its caller has gone, or nobody may
        be asked.
        """
        if turn.is_left or turn.attempts >= offer.retries.max_attempts:
            return None
        now_s, tried = self._fleet.clock.monotonic_s(), {one.target for one in turn.tried}
        others = [place for place in chains.places if place.model == target.model and place not in tried]
        for place in (*others, target):
            rest = self._fleet.rest_of(place.place, now_s)
            if not (rest.told_s or rest.tripped_s):
                return place if self._pay(offer.name) else None
        return None

    def _pay(self, model: str) -> bool:
        left = spent(self._budgets.get(model, HedgeBudget()))
        if left is None:
            self._fleet.meters.hedged(model, UNAFFORDABLE)
            return False
        self._budgets[model] = left
        return True
