"""Runs several tokens of one slot in one go, with the logits that decoding them one by one would give, bit for bit.

A second session on the same weight file; ONNX Runtime packs the weights for each session, so it takes their size in
memory once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trunkline_worker.genai_config import DecoderConfig
from trunkline_worker.model_store import ModelFolder
from trunkline_worker.runtimes.base import Logits
from trunkline_worker.runtimes.kv_cache import CacheShape, KvCache
from trunkline_worker.runtimes.session import Device, SessionConfig, open_model_session
from trunkline_worker.runtimes.verify_graph import present_name, verifying

if TYPE_CHECKING:
    import onnxruntime

VERIFY_TOKENS = 4
"""One token that is certain and three of a draft. Where a run of 4 costs twice one of 1, more would have to be right
nearly always: with 4 out of 5 drafted tokens right, 8 at once make fewer tokens a second than 4 do."""
_SLOT = 0
_TRIED_ID = 1


class Verifier:
    """Of the slot 0: who decodes alone is there."""

    def __init__(
        self, session: onnxruntime.InferenceSession, decoder: DecoderConfig, cache: KvCache, shape: CacheShape
    ) -> None:
        self.width = VERIFY_TOKENS
        self._session = session
        self._decoder = decoder
        self._binding = session.io_binding()
        self._bind_cache(cache, shape)
        self._ids = np.zeros((1, self.width), np.int64)
        self._ones = np.ones((1, shape.tokens), np.int64)
        self._logits: NDArray[Any] = self._first_run()

    def run(self, ids: Sequence[int], past: int) -> Logits:
        """Append `width` ids after `past` tokens; the logits [width, vocabulary] after each, valid until the next."""
        self._ids[0] = ids
        names = self._decoder.inputs
        self._binding.bind_cpu_input(names.input_ids, self._ids)
        self._binding.bind_cpu_input(names.attention_mask, self._ones[:, : past + 1])
        self._session.run_with_iobinding(self._binding)
        return self._logits.reshape(self.width, -1).astype(np.float32, copy=False)

    def agrees(self, decode: Callable[[Sequence[int], Sequence[int]], Logits]) -> bool:
        """Whether it says bit for bit what decoding says, tried on a few tokens; what is in the slot is lost.

        Not so where a matrix product of several rows adds up in another order than that of one, as some kernels do.
        """
        ids = [_TRIED_ID + place for place in range(2 * self.width)]
        expected = np.concatenate([decode([token], [place + 1]) for place, token in enumerate(ids)])
        halves = range(0, len(ids), self.width)
        found = np.concatenate([self.run(ids[begin : begin + self.width], begin).copy() for begin in halves])
        return bool((found == expected).all())

    def _bind_cache(self, cache: KvCache, shape: CacheShape) -> None:
        inputs, outputs = self._decoder.inputs, self._decoder.outputs
        place = (cache.device, 0, shape.element, [1, shape.heads, shape.tokens, shape.head_size])
        parts = (
            (inputs.past_key_names, outputs.present_key_names),
            (inputs.past_value_names, outputs.present_value_names),
        )
        for layer in range(self._decoder.num_hidden_layers):
            for part, (past, present) in enumerate(parts):
                pointer = cache.pointer(2 * layer + part, _SLOT)
                self._binding.bind_input(past % layer, *place, pointer)
                for step in range(self.width):
                    self._binding.bind_output(present_name(present % layer, step), *place, pointer)

    def _first_run(self) -> NDArray[Any]:
        """Once with logits that the session allocates: how they are shaped is the graph's affair."""
        logits = self._decoder.outputs.logits
        self._binding.bind_output(logits, "cpu")
        self._binding.bind_cpu_input(self._decoder.inputs.input_ids, self._ids)
        self._binding.bind_cpu_input(self._decoder.inputs.attention_mask, self._ones[:, :1])
        self._session.run_with_iobinding(self._binding)
        buffer: NDArray[Any] = np.zeros_like(self._binding.get_outputs()[-1].numpy())
        self._binding.bind_output(logits, "cpu", 0, buffer.dtype, buffer.shape, buffer.ctypes.data)
        return buffer


def open_verifier(folder: ModelFolder, cache: KvCache, shape: CacheShape, config: SessionConfig) -> Verifier | None:
    """The verifier of a model folder; None on a GPU, and for graphs that are built in another way."""
    import onnx  # noqa: PLC0415

    decoder = folder.config.model.decoder
    if decoder is None or config.device is not Device.CPU or shape.tokens < VERIFY_TOKENS:
        return None
    plain = onnx.load(str(folder.path / decoder.filename), load_external_data=False)
    graph = verifying(plain, decoder, VERIFY_TOKENS)
    if graph is None:
        return None
    return Verifier(open_model_session(graph.SerializeToString(), folder.path, config), decoder, cache, shape)
