"""URLs of one server and of clusters."""

import pytest

from trunkline_kit.errors import ConfigError
from trunkline_kit.stores.valkey import ValkeyOptions, open_valkey
from trunkline_kit.stores.valkey_url import cluster_of, plain_url


@pytest.mark.parametrize(
    "url",
    [
        "redis://a:1",
        "redis://user:pw@a:1/3",
        "rediss://a",
        "unix:///run/x.sock",
        "redis://a:1/?cluster=false",
        "redis://a:1/?db=2",
    ],
)
def test_one_server_is_no_cluster(url):
    assert cluster_of(url) is None
    assert "cluster" not in plain_url(url)


def test_several_hosts_are_a_cluster():
    found = cluster_of("redis://user:p%40ss@a:1,b,[::1]:3/?cluster=true&health_check_interval=5")
    assert found.seeds == ("a:1", "b:6379", "::1:3")
    assert found.url_of("c:7") == "redis://user:p%40ss@c:7/?health_check_interval=5"
    assert found.url_of("::1:3") == "redis://user:p%40ss@[::1]:3/?health_check_interval=5"
    assert cluster_of("redis://a:1,b:2").seeds == ("a:1", "b:2")


def test_one_host_is_one_when_it_says_so():
    found = cluster_of("rediss://:pw@a:1/0?cluster=yes")
    assert (found.seeds, found.url_of("b:2")) == (("a:1",), "rediss://:pw@b:2/")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://a:1", "must start with redis://"),
        ("redis://a:1,b:2/?cluster=false", "several hosts"),
        ("redis://a:1/?cluster=maybe", "true or false"),
        ("redis://a:1/2?cluster=true", "database 0"),
        ("unix:///run/x?cluster=true", "host:port"),
        ("redis://a:x,b:2/", "each node is host:port"),
    ],
)
def test_what_makes_no_sense_is_said_without_the_url(url, says):
    with pytest.raises(ConfigError, match=says) as failed:
        cluster_of(url.replace("//", "//:secret@"))
    assert "secret" not in str(failed.value)


async def test_a_client_of_a_cluster_dials_nobody_before_its_first_command():
    async with open_valkey("rediss://user:pw@nowhere:1,nobody:2/", ValkeyOptions(timeout_s=0.1)) as client:
        assert "pw" not in repr(client)
