"""Limits of every connection and how they are said to the gRPC library."""

import msgspec

MEBIBYTE = 1024 * 1024

ChannelArguments = list[tuple[str, str | int]]

_SERVICE_CONFIG = '{"loadBalancingConfig":[{"round_robin":{}}]}'


class NetOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for all channels and servers of a process."""

    max_message_bytes: int = 16 * MEBIBYTE
    """A longer message ends its call with RESOURCE_EXHAUSTED."""
    keepalive_s: float = 30.0
    """An idle connection is probed this often, so that a vanished peer is noticed."""
    keepalive_timeout_s: float = 10.0
    """A probe unanswered for this long closes the connection."""
    dns_interval_s: float = 5.0
    """Least time between two look-ups of one name: bounds how fast new replicas are found."""
    reconnect_max_s: float = 5.0
    """Most time between two attempts to reach an address that refuses."""


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for one served address."""

    max_concurrent_rpcs: int = 1024
    """Further calls are refused with RESOURCE_EXHAUSTED."""
    max_call_s: float = 900.0
    """Longest a call may run; also the deadline of calls that come without one."""
    grace_s: float = 5.0
    """How long a stopping server waits for running calls before it cancels them."""
    max_connection_age_s: float = 300.0
    """Connections are closed gently after this, so that clients look the name up again and find new replicas."""
    share_port: bool = False
    """Let several processes listen on one port (SO_REUSEPORT). Off, so that a taken port is an error."""


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def channel_arguments(options: NetOptions) -> ChannelArguments:
    """Client side. Names: grpc/impl/channel_arg_names.h of gRPC 1.85."""
    return [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.dns_min_time_between_resolutions_ms", _ms(options.dns_interval_s)),
        ("grpc.keepalive_time_ms", _ms(options.keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(options.keepalive_timeout_s)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_send_message_length", options.max_message_bytes),
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", min(200, _ms(options.reconnect_max_s))),
        ("grpc.min_reconnect_backoff_ms", min(1000, _ms(options.reconnect_max_s))),
        ("grpc.max_reconnect_backoff_ms", _ms(options.reconnect_max_s)),
        # A proxy for the outside world must not see calls inside the cluster.
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]


def server_arguments(net: NetOptions, serve: ServeOptions) -> ChannelArguments:
    """Server side. Pings of our clients must stay above the permitted interval, or they are cut off."""
    return [
        ("grpc.max_send_message_length", net.max_message_bytes),
        ("grpc.max_receive_message_length", net.max_message_bytes),
        ("grpc.max_connection_age_ms", _ms(serve.max_connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _ms(serve.max_call_s)),
        ("grpc.keepalive_time_ms", _ms(net.keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(net.keepalive_timeout_s)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _ms(net.keepalive_s / 2)),
        ("grpc.so_reuseport", int(serve.share_port)),
    ]
