"""A decoder on ONNX Runtime: one session, one key/value cache bound in place, bindings made once.

Contract of GroupQueryAttention on CPU up to ONNX Runtime 1.31: a run takes either many rows of one token (decode) or
one row of many tokens (prefill chunk); more than one of both is refused. So the engine interleaves the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from trunkline_kit.errors import ConfigError, Internal, ModelError
from trunkline_worker.convert.precision import Precision
from trunkline_worker.genai_config import HEAD_ROWS, DecoderConfig
from trunkline_worker.model_store import ModelFolder
from trunkline_worker.runtimes.base import Logits, with_spare
from trunkline_worker.runtimes.kv_cache import CacheShape, open_cache
from trunkline_worker.runtimes.session import SessionConfig, open_session
from trunkline_worker.runtimes.verifier import open_verifier
from trunkline_worker.utilisation import ModelCost

if TYPE_CHECKING:
    import onnxruntime

_ELEMENTS: dict[str, type[np.float16 | np.float32]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

_TRIED_ID = 1
_WEIGHT_BYTES = {precision.value: precision.weight_bytes for precision in Precision}


class SlotConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much can be generated at once."""

    slots: int = 8
    """Requests that run at the same time."""
    slot_tokens: int = 2048
    """Tokens of prompt and answer that one slot holds; the model's own context is the upper bound."""
    prefix_bytes: int = 256 * 1024 * 1024
    """Memory for beginnings of prompts that may come again; 0 keeps none."""
    speculation: bool = True
    """Whether drafts can be verified, which takes the weights' size in memory once more."""
    batch_invariant: bool = True
    """Whether a repeatable answer must be the same alone and beside others, though kernels of one row round apart."""


class OnnxDecoder:
    """Runs the decoder of a model folder. Raises ModelError for a graph that is not what its description says."""

    def __init__(self, folder: ModelFolder, slots: SlotConfig, config: SessionConfig) -> None:
        if folder.config.model.decoder is None:
            raise ModelError(f"{folder.name} is an encoder; it cannot generate")
        self._decoder = folder.config.model.decoder
        self._session = open_session(folder.path / self._decoder.filename, config)
        self.slots = slots.slots
        self.slot_tokens = slots.slot_tokens
        if self.slot_tokens > folder.config.model.context_length:
            raise ConfigError(
                f"slot_tokens is {self.slot_tokens}; {folder.name} has {folder.config.model.context_length}"
            )
        self.vocabulary_size = folder.config.model.vocab_size
        self.provider = str(self._session.get_providers()[0])
        self._device_id = config.device_id
        graph = _inspect(self._session, self._decoder)
        self._last_only = graph.last_only
        self._element = graph.element
        shape = _cache_shape(self._decoder, slots, graph.element)
        self._kv = open_cache(shape, config)
        weight_bytes = sum(path.stat().st_size for path in folder.path.glob(f"{self._decoder.filename}*"))
        self.cost: ModelCost | None = _cost(self._decoder, weight_bytes, shape, folder.variant)
        self.blocks, self.block_tokens = self._kv.blocks, shape.block_tokens
        self._ids = np.zeros((shape.slots, 1), np.int64)
        self._logits: NDArray[Any] = np.zeros((shape.slots, 1, self.vocabulary_size), graph.element)
        self._places = np.arange(self.slot_tokens)
        self._ones_and_zeros = np.repeat(np.array([1, 0]), self.slot_tokens + 1)
        self._bindings: dict[tuple[int, int, int], onnxruntime.IOBinding] = {}
        self._head_rows, self._one = graph.head_rows, np.ones(1, np.int64)
        self.least_rows = 1 if self._is_same_alone() else 2
        verifier = open_verifier(folder, self._kv, shape, config) if slots.speculation else None
        self._verifier = verifier if verifier is not None and verifier.agrees(self._copied) else None
        self.verify_tokens = self._verifier.width if self._verifier else 0
        if not slots.batch_invariant:
            self.least_rows = 1

    def prefill(self, slot: int, ids: Sequence[int], past: int) -> Logits:
        tokens = np.asarray([ids], np.int64)
        row: Logits = self._run(slot, tokens, np.array([past + len(ids)]))[0]
        return row

    def decode(self, ids: Sequence[int], lengths: Sequence[int], *, repeatable: bool = True) -> Logits:
        rows = max(len(ids), self.least_rows) if repeatable else len(ids)
        tokens = self._ids[:rows]
        tokens[:, 0] = ids
        if len(ids) == 1 and not isinstance(self._decoder.inputs.position_ids, str):
            return self._run_lone(tokens, lengths[0])
        return self._run(0, tokens, np.array([*lengths, *[1] * (rows - len(ids))]))[: len(ids)]

    def verify(self, ids: Sequence[int], past: int) -> Logits:
        if self._verifier is None:
            raise Internal("this model cannot verify drafts")
        return self._verifier.run(ids, past)

    def move(self, source: int, target: int, length: int) -> None:
        self._kv.move(source, target, length)

    def keep(self, slot: int, begin: int, block: int) -> None:
        self._kv.keep(slot, begin, block)

    def restore(self, block: int, slot: int, begin: int) -> None:
        self._kv.restore(block, slot, begin)

    def _is_same_alone(self) -> bool:
        """Whether a row says bit for bit the same alone and beside another one, tried on one token.

        Some kernels add up in another order for a single row, such as those for 4 bits.
        """
        alone, beside = (self._run(0, np.full((rows, 1), _TRIED_ID), np.ones(rows, int))[0].copy() for rows in (1, 2))
        return bool((alone == beside).all())

    def _copied(self, ids: Sequence[int], lengths: Sequence[int]) -> Logits:
        return self.decode(ids, lengths).copy()

    def _run_lone(self, tokens: NDArray[np.int64], length: int) -> Logits:
        """One row, or two of which only the first is read; the second one's length is 1.

        Between two runs nothing else is as slow as what is not in the processor's caches any more, so there is little
        here: the masks of all lengths are one array from different places on, a one more for the second row.
        """
        rows, names = len(tokens), self._decoder.inputs
        binding = self._binding(0, rows, 1 if self._head_rows else rows)
        mask = self._ones_and_zeros[self.slot_tokens + 2 - rows - length :]
        binding.bind_input(names.input_ids, "cpu", 0, np.int64, [rows, 1], tokens.ctypes.data)
        binding.bind_input(names.attention_mask, "cpu", 0, np.int64, [rows, length], mask.ctypes.data)
        self._session.run_with_iobinding(binding)
        return self._logits[:1, 0].astype(np.float32, copy=False)

    def _run(self, first: int, tokens: NDArray[np.int64], lengths: NDArray[np.int64]) -> Logits:
        rows, width = tokens.shape
        names = self._decoder.inputs
        binding = self._binding(first, rows, rows)
        covered = self._places[: int(lengths.max())]
        mask = (covered < lengths[:, None]).astype(np.int64)
        binding.bind_cpu_input(names.input_ids, tokens)
        binding.bind_cpu_input(names.attention_mask, mask)
        if isinstance(names.position_ids, str):
            binding.bind_cpu_input(names.position_ids, lengths[:, None] - width + np.arange(width))
        if not self._last_only and width > 1:
            return self._run_full(binding, first, rows)
        self._session.run_with_iobinding(binding)
        return self._logits[first : first + rows, 0].astype(np.float32, copy=False)

    def _run_full(self, binding: onnxruntime.IOBinding, first: int, rows: int) -> Logits:
        """A graph that gives the logits of every position: let the session allocate them and keep the last."""
        binding.bind_output(self._decoder.outputs.logits, "cpu")
        self._session.run_with_iobinding(binding)
        logits: NDArray[Any] = binding.get_outputs()[0].numpy()[:, -1].astype(np.float32)
        del self._bindings[first, rows, rows]
        return logits

    def _binding(self, first: int, rows: int, heads: int) -> onnxruntime.IOBinding:
        """Logits of `heads` and cache of `rows` slots from `first`.

        Made once: two names a layer cost more than all else here.
        """
        known = self._bindings.get((first, rows, heads))
        if known is not None:
            return known
        binding = self._session.io_binding()
        logits = self._logits[first : first + heads]
        if heads < rows:
            # By its address: optional inputs are not found when they are bound as arrays.
            binding.bind_input(HEAD_ROWS, "cpu", 0, np.int64, [1], self._one.ctypes.data)
        outputs, inputs = self._decoder.outputs, self._decoder.inputs
        binding.bind_output(outputs.logits, "cpu", 0, self._element, logits.shape, logits.ctypes.data)
        shape = [rows, self._decoder.num_key_value_heads, self.slot_tokens, self._decoder.head_size]
        place = (self._kv.device, self._device_id, self._element, shape)
        parts = (
            (inputs.past_key_names, outputs.present_key_names),
            (inputs.past_value_names, outputs.present_value_names),
        )
        for layer in range(self._decoder.num_hidden_layers):
            for part, (past, present) in enumerate(parts):
                pointer = self._kv.pointer(2 * layer + part, first)
                binding.bind_input(past % layer, *place, pointer)
                binding.bind_output(present % layer, *place, pointer)
        self._bindings[first, rows, heads] = binding
        return binding


class _Graph(Struct, frozen=True, kw_only=True):
    element: type[Any]
    last_only: bool
    head_rows: bool
    """Whether it can leave out the last rows' logits."""


def _cache_shape(decoder: DecoderConfig, slots: SlotConfig, element: type[Any]) -> CacheShape:
    shape = CacheShape(
        buffers=2 * decoder.num_hidden_layers,
        slots=with_spare(slots.slots),
        heads=decoder.num_key_value_heads,
        tokens=slots.slot_tokens,
        head_size=decoder.head_size,
        half=element is np.float16,
    )
    return structs.replace(shape, blocks=slots.prefix_bytes // shape.block_bytes)


def _cost(decoder: DecoderConfig, weight_bytes: int, shape: CacheShape, variant: str) -> ModelCost:
    """Weights are counted by their bytes; folders of one's own are taken to be of the cache's precision."""
    weights = weight_bytes / _WEIGHT_BYTES.get(variant, 2.0 if shape.half else 4.0)
    return ModelCost(
        weight_bytes=weight_bytes,
        token_flops=2.0 * weights,
        # A query and a value product over every head, a multiplication and an addition each.
        pair_flops=4.0 * decoder.num_hidden_layers * decoder.num_attention_heads * decoder.head_size,
        kv_token_bytes=shape.block_bytes // shape.block_tokens,
    )


def _inspect(session: onnxruntime.InferenceSession, decoder: DecoderConfig) -> _Graph:
    """Compare the graph with its description. Raises ModelError naming the input or output that does not fit."""
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = {value.name: value for value in session.get_outputs()}
    expected_inputs, expected_outputs = _expected(decoder)
    for kind, names, expected in (("input", inputs, expected_inputs), ("output", outputs, expected_outputs)):
        missing = sorted(expected - names.keys())
        if missing:
            raise ModelError(f"model.onnx has no {kind} {missing[0]!r}, which genai_config.json promises")
    surplus = sorted(inputs.keys() - expected_inputs)
    if surplus:
        raise ModelError(f"model.onnx wants an input {surplus[0]!r} that this worker cannot give")
    past = inputs[decoder.inputs.past_key_names % 0]
    if past.type not in _ELEMENTS:
        raise ModelError(f"{past.name} is {past.type}; the worker runs float32 and float16 caches")
    if len(past.shape) != 4 or past.shape[1] not in (decoder.num_key_value_heads, None):
        raise ModelError(f"{past.name} has the shape {past.shape}; expected [batch, {decoder.num_key_value_heads}, …]")
    return _Graph(
        element=_ELEMENTS[past.type],
        last_only=outputs[decoder.outputs.logits].shape[1] == 1,
        head_rows=HEAD_ROWS in {value.name for value in session.get_overridable_initializers()},
    )


def _expected(decoder: DecoderConfig) -> tuple[set[str], set[str]]:
    inputs, outputs = decoder.inputs, decoder.outputs
    layers = range(decoder.num_hidden_layers)
    wanted = {inputs.input_ids, inputs.attention_mask}
    if isinstance(inputs.position_ids, str):
        wanted.add(inputs.position_ids)
    wanted |= {name % layer for name in (inputs.past_key_names, inputs.past_value_names) for layer in layers}
    given = {name % layer for name in (outputs.present_key_names, outputs.present_value_names) for layer in layers}
    return wanted, given | {outputs.logits}
