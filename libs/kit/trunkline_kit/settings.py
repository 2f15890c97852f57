"""`trunkline.yaml` as frozen Structs: the names here are a contract; extend them, never rename them.

Units are in the names: durations `_s`, sizes `_bytes`, money `_usd`. Every service takes its part of one `Settings`
value.
"""

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from trunkline_kit.accounts import Ledger, Prices
from trunkline_kit.identity import Identity
from trunkline_kit.profiles import Profile
from trunkline_kit.providers import Provider, Target
from trunkline_kit.resilience import Idempotency, Shadow
from trunkline_kit.tenants import (
    Budget,
    Count,
    KeySpec,
    Limit,
    Moment,
    Network,
    Org,
    Project,
    Seconds,
    Tag,
    TagName,
    Team,
)
from trunkline_kit.workers import Worker

KeySecret = Annotated[str, Meta(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|sha256:[0-9a-f]{64})$")]
"""A reference, or `sha256:` and the hash of the key in hexadecimal."""
Share = Annotated[float, Meta(ge=0, le=1)]
Address = Annotated[str, Meta(pattern=r"^.*:[0-9]{1,5}$")]
"""`host:port`; port 0 means any free one."""


class Listen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where this process listens."""

    http: Address = "127.0.0.1:8080"
    grpc: Address = "127.0.0.1:9080"
    metrics: Address = "127.0.0.1:9464"


class Stores(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shared state. Left out, `trunkline up` runs an embedded Valkey and Postgres in its home folder."""

    redis: str | None = None
    """`redis://…` or a reference; a URL with a password must be a reference.

    A cluster by some of its nodes: `redis://a:6379,b:6379/`, or by one: `redis://a:6379/?cluster=true`.
    """
    database: str | None = None
    """`postgresql://…` or a reference; a URL with a password must be a reference."""


class Services(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the other services are. Left out: in this process (`local:`)."""

    router: Target = "local:router"
    cache: Target = "local:cache"
    guardrails: Target = "local:guardrails"
    sre: Target = "local:sre"


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one process."""

    body_limit_bytes: Count = 10 * 1024 * 1024
    """A larger request body is refused with 413 before it is read."""
    concurrent_requests: Count = 1024
    """Requests in flight; one more gets 503 with Retry-After."""
    concurrent_streams: Count = 1024
    """Streams under way; one more gets 503 with Retry-After, before anything is done for it."""
    bodies_limit_bytes: Count = 512 * 1024 * 1024
    """Of all request bodies that are held at once; what would go beyond it gets 503 before it is read."""
    drained_answers: Annotated[int, Meta(ge=0)] = 64
    """Answers that are read on after their callers have left, see `bills_after_disconnect`; one more is cancelled."""
    drain_grace_s: Seconds = 30.0
    """After a stop signal, how long requests in flight may finish before they are cancelled."""
    config_poll_s: Seconds = 1.0
    """How often the configuration file is looked at for changes."""
    trusted_proxies: tuple[Network, ...] = ()
    """Whose `x-forwarded-for` is believed; empty: nobody's, the connection's own address counts."""
    queued_requests: Annotated[int, Meta(ge=0)] = 256
    """Requests that may wait for a limit to have room; one more is refused. See `queue_wait_s` of a key."""
    gateways: Count = 1
    """How many gateways share the limits, for when the store of limits is down and has never said it."""


class Responses(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Responses that are kept, so that they can be read and continued. Taken up by a restart."""

    ttl_s: Seconds = 30 * 86_400.0
    """How long after it was made, or continued for the last time."""
    max_bytes: Count = 4 * 1024 * 1024
    """Of one of them with its input, before it is compressed; a larger one is answered and not kept."""
    memory_bytes: Count = 64 * 1024 * 1024
    """Of all of them in this process, where there is no `stores.redis`; the oldest go first."""


class Telemetry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Traces and logs. Message content is never captured."""

    trace_sample_ratio: Share = 1.0
    """Share of requests that get a trace when the caller sent no traceparent."""
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    kept_traces: Count = 2000
    """Traces the sre service keeps in memory; the oldest go first."""


class Deployment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place that can answer for a model."""

    provider: str
    model: str
    """The model's name at the provider."""
    weight: Annotated[float, Meta(gt=0)] = 1.0
    context_tokens: Count | None = None
    """Of prompt and answer together: what is longer is tried elsewhere first."""
    canary: bool = False
    """Tried out: it gets exactly its share of the conversations, by weight, and is counted apart."""
    profile: str | Profile | None = None
    """What the model can do: a built-in profile by name, or what differs. Left out: what its name tells."""


class Balance(Enum):
    """How a deployment is picked."""

    WEIGHTED = "weighted"
    LEAST_BUSY = "least_busy"
    LEAST_COST = "least_cost"
    PREFIX_AFFINITY = "prefix_affinity"


class Fallbacks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other models to try, by what went wrong."""

    on_error: tuple[str, ...] = ()
    on_context_window: tuple[str, ...] = ()
    on_content_policy: tuple[str, ...] = ()


class Timeouts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The four clocks of an attempt."""

    connect_s: Seconds = 5.0
    first_token_s: Seconds = 60.0
    """From sending the request to its first meaningful event; for whole answers, see assemble_streams of a provider."""
    idle_s: Seconds = 30.0
    """Between two pieces of a stream."""
    total_s: Seconds = 300.0
    min_events_per_s: Annotated[float, Meta(ge=0)] = 0.1
    """A stream that brings fewer, over `pace_s` of waiting for its provider, is ended as too slow; 0: never."""
    pace_s: Seconds = 60.0


class Retries(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One budget over retries, fallbacks and hedges together."""

    max_attempts: Annotated[int, Meta(ge=1, le=16)] = 3
    wait_s_max: Seconds = 5.0
    """What asks for a longer wait is not waited for; the caller is told instead."""


class Breaker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a deployment that fails is left alone."""

    failures: Count = 5
    """In a row."""
    open_s: Seconds = 5.0
    """The first time; twice as long each time that it has not worked since."""
    open_s_max: Seconds = 60.0
    outliers: bool = True
    """Also when it fails more often, or has become slower, than the model's other deployments."""
    last_resort: bool = True
    """Whether it is asked all the same, once per request, when there is nothing else to ask."""


class Hedge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second request before the first token, when the first is slower than usual."""

    after_quantile: Share = 0.95
    max_extra_ratio: Share = 0.05


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What callers put in `model`."""

    deployments: Annotated[tuple[Deployment, ...], Meta(min_length=1)]
    aliases: tuple[str, ...] = ()
    """Other names that are understood but not listed."""
    balance: Balance = Balance.WEIGHTED
    fallbacks: Fallbacks = Fallbacks()
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    hedge: Hedge | None = None
    shadow: Shadow | None = None
    """Gets copies of requests, whose answers nobody sees."""
    sticky: bool = False
    """Whether a conversation stays with the deployment that it began with, as long as that works."""
    limits: tuple[Limit, ...] = ()
    """Over all callers together."""
    budgets: tuple[Budget, ...] = ()


class When(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All given conditions must hold."""

    intent: tuple[str, ...] | None = None
    complexity_below: Share | None = None
    complexity_above: Share | None = None


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first rule that holds decides."""

    when: When
    to: Annotated[tuple[str, ...], Meta(min_length=1)]


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A virtual model, decided by the router."""

    classifier: str | None = None
    rules: tuple[Rule, ...] = ()
    otherwise: Annotated[tuple[str, ...], Meta(min_length=1)]


class PreviousSecret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key's secret was before it was rotated."""

    secret: KeySecret
    until: Moment
    """From then on it is unknown."""


class Key(KeySpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A virtual key."""

    id: Annotated[str, Meta(min_length=1)]
    secret: KeySecret
    previous: PreviousSecret | None = None
    """For a rotation with overlap: both secrets work until the old one's end."""


class OnFail(Enum):
    """What a check that objects leads to."""

    BLOCK = "block"
    REDACT = "redact"
    FLAG = "flag"
    RETRY = "retry"


class Check(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One check of a policy."""

    check: str
    on_fail: OnFail


class GuardrailPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Checks before and after the model."""

    input: tuple[Check, ...] = ()
    output: tuple[Check, ...] = ()


class CacheScope(Enum):
    """Who shares cached answers. Never wider than a team."""

    TEAM = "team"
    KEY = "key"


class ExactCache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Same request, same answer."""

    ttl_s: Seconds
    scope: CacheScope = CacheScope.TEAM


class SemanticCache(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Same meaning, same answer, within an error rate that is measured."""

    max_error_rate: Share
    ttl_s: Seconds = 3600.0
    scope: CacheScope = CacheScope.TEAM


class CachePolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be answered from the cache."""

    exact: ExactCache | None = None
    semantic: SemanticCache | None = None


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Guardrails and caching under one name."""

    guardrails: GuardrailPolicy = GuardrailPolicy()
    cache: CachePolicy = CachePolicy()


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    listen: Listen = Listen()
    stores: Stores = Stores()
    services: Services = Services()
    server: Server = Server()
    telemetry: Telemetry = Telemetry()
    workers: dict[str, Worker] = {}
    providers: dict[str, Provider] = {}
    models: dict[str, Model] = {}
    routes: dict[str, Route] = {}
    orgs: dict[str, Org] = {}
    teams: dict[str, Team] = {}
    projects: dict[str, Project] = {}
    tags: dict[TagName, Tag] = {}
    identity: Identity = Identity()
    keys: tuple[Key, ...] = ()
    policies: dict[str, Policy] = {}
    prices: Prices = Prices()
    ledger: Ledger = Ledger()
    responses: Responses = Responses()
    idempotency: Idempotency = Idempotency()
