from pathlib import Path

import pytest

from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Server, Settings
from trunkline_kit.workers import Worker
from trunkline_worker.config import WorkerConfig, variant_of
from trunkline_worker.convert.precision import Precision
from trunkline_worker.runtimes.session import Device
from trunkline_worker.serving_metrics import Objectives
from trunkline_worker.utilisation import Peaks


def test_the_files_words_become_the_workers():
    worker = Worker(
        model="m",
        variant="f16",
        device="cuda",
        slots=3,
        slot_tokens=512,
        threads=2,
        spinning=True,
        queue_requests=0,
        prefill_chunk_tokens=64,
        prefix_cache_bytes=1000,
        decode_wait_steps=2.5,
        speculation="off",
        batch_invariant=False,
        stall_s=5,
        objective_first_token_s=1,
        objective_token_s=0.5,
        peak_flops_per_s=3,
        peak_bytes_per_s=4,
    )
    settings = Settings(workers={"w": worker}, server=Server(drain_grace_s=7))
    config = WorkerConfig.from_settings(settings, "w", listen=None, home=Path("/h"))
    assert (config.listen, config.home, config.model) == (settings.listen.grpc, Path("/h"), "m")
    assert (config.variant, config.session.device, config.session.spinning) == (Precision.F16, Device.CUDA, True)
    assert (config.slots.slots, config.slots.slot_tokens, config.session.threads) == (3, 512, 2)
    assert (config.batch.chunk_tokens, config.batch.max_waiting, config.embed.max_waiting) == (64, 0, 1)
    assert config.batch.wait_steps == 2.5
    assert (config.slots.speculation, config.slots.batch_invariant) == (False, False)
    assert (config.drain_grace_s, config.stall_s, config.slots.prefix_bytes) == (7, 5, 1000)
    assert (config.objectives, config.peaks) == (
        Objectives(first_token_s=1, token_s=0.5),
        Peaks(flops_per_s=3, bytes_per_s=4),
    )
    assert WorkerConfig.from_settings(settings, "w", listen="local:x", home=Path("/h")).listen == "local:x"


@pytest.mark.parametrize(
    ("worker", "variant"),
    [
        (Worker(), None),
        (Worker(device="cuda"), Precision.F16),
        (Worker(variant="q8"), Precision.Q8),
        (Worker(variant="q8", device="cuda"), Precision.Q8),
    ],
)
def test_who_names_no_variant_leaves_it_to_the_model_or_the_device(worker, variant):
    assert variant_of(worker) is variant


def test_a_name_that_is_not_there():
    with pytest.raises(ConfigError, match=r"workers\.x is not in the configuration; there is none"):
        WorkerConfig.from_settings(Settings(), "x", listen=None, home=Path("/h"))
