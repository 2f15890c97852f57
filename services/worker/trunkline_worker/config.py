"""What one worker process runs, and how."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Settings
from trunkline_kit.workers import Worker
from trunkline_worker.batching import BatchConfig
from trunkline_worker.convert.precision import Precision
from trunkline_worker.embedding import EmbedConfig
from trunkline_worker.row_queue import RunConfig
from trunkline_worker.runtimes.onnx import SlotConfig
from trunkline_worker.runtimes.session import Device, SessionConfig
from trunkline_worker.serving_metrics import Objectives
from trunkline_worker.utilisation import Peaks

_RUNS = {Device.CPU: RunConfig(), Device.CUDA: RunConfig(batch_texts=256, batch_tokens=16_384)}
"""Of encoders: a GPU wants more at once, which was not tried on one."""


class WorkerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model behind one address."""

    listen: str
    """`HOST:PORT`, `unix:PATH` or `local:NAME`."""
    home: Path
    """Where prepared models are."""
    model: str = "smollm2-135m-instruct"
    """A name of the catalogue, `path:FOLDER`, or `fake:` for the model without weights."""
    variant: Precision | None = None
    """None for what the catalogue says of the model, or what one's own was prepared as."""
    slots: SlotConfig = SlotConfig()
    session: SessionConfig = SessionConfig()
    batch: BatchConfig = BatchConfig()
    embed: EmbedConfig = EmbedConfig()
    objectives: Objectives = Objectives()
    peaks: Peaks = Peaks()
    drain_grace_s: float = 30.0
    stall_s: float = 60.0
    """An engine that has work and makes no step for so long is dead; the longest step is a chunk of prompt."""

    @classmethod
    def from_settings(cls, settings: Settings, name: str, *, listen: str | None, home: Path) -> WorkerConfig:
        """The worker that `workers:` calls `name`. Raises ConfigError if there is none."""
        worker = settings.workers.get(name)
        if worker is None:
            known = ", ".join(settings.workers) or "none"
            raise ConfigError(f"workers.{name} is not in the configuration; there is {known}")
        grace_s = settings.server.drain_grace_s
        return cls.from_worker(worker, listen=listen or settings.listen.grpc, home=home, drain_grace_s=grace_s)

    @classmethod
    def from_worker(cls, worker: Worker, *, listen: str, home: Path, drain_grace_s: float) -> WorkerConfig:
        """One entry of `workers:` with its address and the home folder."""
        return cls(
            listen=listen,
            home=home,
            model=worker.model,
            variant=variant_of(worker),
            slots=SlotConfig(
                slots=worker.slots,
                slot_tokens=worker.slot_tokens,
                prefix_bytes=worker.prefix_cache_bytes,
                speculation=worker.speculation == "auto",
                batch_invariant=worker.batch_invariant,
            ),
            session=SessionConfig(device=Device(worker.device), threads=worker.threads, spinning=worker.spinning),
            batch=BatchConfig(
                chunk_tokens=worker.prefill_chunk_tokens,
                wait_steps=worker.decode_wait_steps,
                max_waiting=worker.queue_requests,
            ),
            embed=EmbedConfig(run=_RUNS[Device(worker.device)], max_waiting=max(1, worker.queue_requests)),
            objectives=Objectives(first_token_s=worker.objective_first_token_s, token_s=worker.objective_token_s),
            peaks=Peaks(flops_per_s=worker.peak_flops_per_s, bytes_per_s=worker.peak_bytes_per_s),
            drain_grace_s=drain_grace_s,
            stall_s=worker.stall_s,
        )


def variant_of(worker: Worker) -> Precision | None:
    """What `variant:` asks for; None leaves it to the model. CUDA's attention kernels take no other than f16."""
    if worker.variant != "auto":
        return Precision(worker.variant)
    return Precision.F16 if worker.device == Device.CUDA else None
