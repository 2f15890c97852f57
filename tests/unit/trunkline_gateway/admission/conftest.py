"""A real Valkey for a test session, and clients to it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from prometheus_client import CollectorRegistry

from trunkline_gateway.admission.meters import AdmissionMeters, QueueMeters
from trunkline_testkit.valkey import valkey_server


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as server:
        yield server.url


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[redis.Redis]:
    """A plain client, to look and to break things; empty."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def meters() -> AdmissionMeters:
    return AdmissionMeters(CollectorRegistry())


@pytest.fixture
def queue_meters() -> QueueMeters:
    return QueueMeters(CollectorRegistry())
