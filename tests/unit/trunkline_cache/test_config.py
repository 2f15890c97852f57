from trunkline_cache.config import Bounds, CacheConfig, without_effect
from trunkline_kit.settings import CachePolicy, ExactCache, Listen, Policy, SemanticCache, Settings


def test_it_listens_where_the_file_says_or_where_it_is_told():
    settings = Settings(listen=Listen(grpc="127.0.0.1:7002"))
    assert CacheConfig.from_settings(settings).listen == "127.0.0.1:7002"
    assert CacheConfig.from_settings(settings, listen="local:cache") == CacheConfig(listen="local:cache")


def test_every_bound_is_there_without_being_asked_for():
    bounds = Bounds()
    assert bounds.entry_limit_bytes <= bounds.memory_limit_bytes
    assert min(bounds.entries_limit, bounds.counted_scopes_limit) > 0


def test_a_semantic_cache_is_said_to_have_no_effect():
    settings = Settings(
        policies={
            "exact": Policy(cache=CachePolicy(exact=ExactCache(ttl_s=60))),
            "both": Policy(cache=CachePolicy(semantic=SemanticCache(max_error_rate=0.01))),
        }
    )
    assert [line.split(":")[0] for line in without_effect(settings)] == ["policies.both.cache.semantic"]
    assert CacheConfig.from_settings(settings).ignored == tuple(without_effect(settings))
