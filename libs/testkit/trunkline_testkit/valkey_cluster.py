"""A real cluster of Valkey for tests: three primaries and a replica of each, whose nodes a test may kill and start."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import redis

from trunkline_testkit.valkey import valkey_program

PRIMARIES = 3
SLOTS = 16_384
NODE_TIMEOUT_MS = 800
"""After so long a silent primary is held to be dead; its replica takes over a little later."""
READY_S = 90.0
MEETING_S = 4.0
"""After so long an introduction that came to nothing is made again."""
_HOST = "127.0.0.1"


class ClusterNode:
    """One server. It keeps its place in the cluster over a restart, but no data."""

    def __init__(self, folder: Path, program: Path, port: int, bus_port: int) -> None:
        self._folder = folder
        self._program = program
        self.port, self.bus_port = port, bus_port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{_HOST}:{self.port}"

    @property
    def runs(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        options = {
            "bind": _HOST,
            "port": self.port,
            "cluster-enabled": "yes",
            "cluster-port": self.bus_port,
            "cluster-node-timeout": NODE_TIMEOUT_MS,
            "cluster-replica-validity-factor": 0,
            "cluster-require-full-coverage": "no",
            "repl-diskless-sync-delay": 0,
            "save": "",
            "appendonly": "no",
            "dir": self._folder,
        }
        command = [str(self._program)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """Without a word to the others."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It takes connections and never answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def do(self, *parts: str | int | bytes) -> Any:
        """One command, its reply as it comes."""
        with redis.Redis(host=_HOST, port=self.port, socket_timeout=2) as client:
            return client.execute_command(*parts)

    @property
    def node_id(self) -> str:
        """What the other nodes call it."""
        return str(self.do("CLUSTER", "MYID"), "ascii")

    def facts(self, *parts: str) -> dict[str, str]:
        """Of `INFO …` or `CLUSTER INFO`."""
        with redis.Redis(host=_HOST, port=self.port, socket_timeout=2) as client:
            found = client.execute_command(*parts)
        if isinstance(found, dict):
            return {str(name): str(value) for name, value in found.items()}
        text = found.decode() if isinstance(found, bytes) else str(found)
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


class ValkeyCluster:
    """Six nodes, the first three of which begin as primaries."""

    def __init__(self, nodes: list[ClusterNode]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        """By two of its nodes."""
        return f"redis://{self.nodes[0].address},{self.nodes[4].address}/?cluster=true"

    def owner(self, key: str) -> ClusterNode:
        """The primary that has a key now, as a majority sees it."""
        slot = self._any().do("CLUSTER", "KEYSLOT", key)
        ports = {node.port: node for node in self.nodes}
        for first, last, primary, *_ in self._any().do("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return ports[int(primary[1])]
        raise AssertionError(f"nobody has {key!r}")

    def owner_is_new(self, key: str, old: ClusterNode) -> None:
        """Wait until another one has taken over."""
        _until(lambda: self.owner(key) is not old, f"a replica of {old.address} has taken over")

    def move(self, key: str, to: ClusterNode) -> None:
        """Move the slot of a key, with what is in it, as resharding does."""
        source, slot = self.owner(key), self._any().do("CLUSTER", "KEYSLOT", key)
        to.do("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
        source.do("CLUSTER", "SETSLOT", slot, "MIGRATING", to.node_id)
        while keys := source.do("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.do("MIGRATE", _HOST, to.port, "", 0, 2_000, "KEYS", *keys)
        for node in (to, source):
            node.do("CLUSTER", "SETSLOT", slot, "NODE", to.node_id)

    def _any(self) -> ClusterNode:
        """One that runs, and is not the one that others would ask last."""
        return next(node for node in self.nodes if node.runs)

    def form(self) -> None:
        """Returns when everybody knows everybody and every replica follows."""
        first, share = self.nodes[0], -(-SLOTS // PRIMARIES)
        for node in self.nodes:
            _until(partial(node.do, "PING"), f"{node.address} answers")
        for index, node in enumerate(self.nodes[:PRIMARIES]):
            node.do("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            node.do("CLUSTER", "ADDSLOTSRANGE", index * share, min(SLOTS, (index + 1) * share) - 1)
        _until(partial(self._introduced, first), "everybody knows everybody")
        for primary, replica in zip(self.nodes[:PRIMARIES], self.nodes[PRIMARIES:], strict=True):
            _until(partial(replica.do, "CLUSTER", "REPLICATE", primary.node_id), f"{replica.address} follows")
        for node in self.nodes:
            _until(partial(_well, node), f"{node.address} is well")

    def _introduced(self, first: ClusterNode) -> bool:
        """Whether they all know each other by now. On a busy machine an introduction runs out and is made again."""
        for node in self.nodes[1:]:
            if not _knows(node, len(self.nodes)):
                node.do("CLUSTER", "MEET", _HOST, first.port, first.bus_port)
        return all(_is_soon(partial(_knows, node, len(self.nodes)), MEETING_S) for node in self.nodes)


def _knows(node: ClusterNode, count: int) -> bool:
    return node.facts("CLUSTER", "INFO").get("cluster_known_nodes") == str(count)


def _well(node: ClusterNode) -> bool:
    """Its view is whole, and if it is a replica it has all that its primary has."""
    if node.facts("CLUSTER", "INFO").get("cluster_state") != "ok":
        return False
    role = node.facts("INFO", "replication")
    return role.get("role") == "master" or role.get("master_link_status") == "up"


def _until(probe: Callable[[], object], what: str) -> None:
    if not _is_soon(probe, READY_S):
        raise AssertionError(f"after {READY_S:g} s still not: {what}")


def _is_soon(probe: Callable[[], object], within_s: float) -> bool:
    due_s = time.monotonic() + within_s
    while time.monotonic() < due_s:
        with suppress(redis.RedisError):
            if probe():
                return True
        time.sleep(0.02)
    return False


def _free_ports(count: int) -> list[int]:
    """All different: none is given back before the last is found."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind((_HOST, 0))
        return [int(listener.getsockname()[1]) for listener in listeners]


@contextmanager
def valkey_cluster(folder: Path) -> Iterator[ValkeyCluster]:
    """A running one, until the block ends."""
    program = valkey_program()
    ports = iter(_free_ports(4 * PRIMARIES))
    nodes = [ClusterNode(folder / str(port), program, port, next(ports)) for port in ports]
    cluster = ValkeyCluster(nodes)
    try:
        for node in nodes:
            node.start()
        cluster.form()
        yield cluster
    finally:
        for node in nodes:
            node.thaw()
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)
