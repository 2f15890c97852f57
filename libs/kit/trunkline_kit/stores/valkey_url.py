"""What a URL of Valkey or Redis says: one server, or the nodes of a cluster to begin with. Pure."""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from trunkline_kit.errors import ConfigError

SCHEMES = ("redis", "rediss", "unix")
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
WRONG_SCHEME = "stores.redis must start with redis://, rediss:// or unix://"
DEFAULT_PORT = 6379


class Cluster(Struct, frozen=True, kw_only=True):
    """A cluster by some of its nodes. Its nodes have one user, one password, and TLS all or none."""

    seeds: tuple[str, ...]
    """`host:port` of each."""
    node_url: str
    """Of any node, with `{node}` in place of its address."""

    def url_of(self, address: str) -> str:
        """Of the node at `host:port`."""
        host, _, port = address.rpartition(":")
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return self.node_url.replace("{node}", f"{host}:{port}")


def cluster_of(url: str) -> Cluster | None:
    """For `redis://a:6379,b:6379/` and `redis://a:6379/?cluster=true`; None for one server.

    Raises ConfigError for a URL that makes no sense; never with the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError("stores.redis is no URL; a host in brackets has to be an IPv6 address") from None
    if parts.scheme not in SCHEMES:
        raise ConfigError(WRONG_SCHEME)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    said = options.pop("cluster", "").lower()
    credentials, at, hosts = parts.netloc.rpartition("@")
    addresses = [_address(host) for host in hosts.split(",") if host]
    if said and said not in (*_YES, *_NO):
        raise ConfigError("stores.redis: cluster must be true or false")
    if said in _NO or (not said and len(addresses) < 2):
        if len(addresses) > 1:
            raise ConfigError("stores.redis names several hosts, so it is a cluster: leave out cluster=false")
        return None
    if parts.scheme == "unix" or not addresses:
        raise ConfigError("stores.redis: a cluster needs host:port of at least one of its nodes")
    if parts.path not in {"", "/", "/0"}:
        raise ConfigError("stores.redis: a cluster has database 0 only; leave the number out")
    # The braces are put in afterwards: a password may hold anything, and comes quoted.
    node = f"{credentials}{at}{{node}}"
    return Cluster(
        seeds=tuple(addresses),
        node_url=urlunsplit((parts.scheme, node, "/", urlencode(options), "")),
    )


def plain_url(url: str) -> str:
    """Of one server, without what only we understand."""
    parts = urlsplit(url)
    options = [(name, value) for name, value in parse_qsl(parts.query) if name != "cluster"]
    return urlunsplit(parts._replace(query=urlencode(options))) if "cluster" in parts.query else url


def _address(host: str) -> str:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        return f"{host.strip('[]')}:{DEFAULT_PORT}"
    if not port.isdigit() or not name:
        raise ConfigError("stores.redis: each node is host:port, separated by commas")
    return f"{name.strip('[]')}:{port}"
