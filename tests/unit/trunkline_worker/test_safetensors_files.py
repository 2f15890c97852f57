import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save_file

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.safetensors_files import INDEX, SafetensorsFiles, weight_files, widened

VALUES = np.random.default_rng(5).standard_normal((3, 4)).astype(np.float32)


def raw(path, dtype, data, shape=(2,), offsets=None):
    """A file of one tensor, written by hand."""
    header = {"__metadata__": {"format": "pt"}, "w": {"dtype": dtype, "shape": shape}}
    header["w"]["data_offsets"] = offsets or [0, len(data)]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return SafetensorsFiles((path,))


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_every_width_becomes_float32(tmp_path, kind):
    save_file({"w": VALUES.astype(kind), "v": VALUES[0].astype(kind)}, tmp_path / "m.safetensors")
    files = SafetensorsFiles((tmp_path / "m.safetensors",))
    assert (files.names(), files.shape("w")) == ({"w", "v"}, (3, 4))
    read = files.tensor("w")
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, VALUES, rtol=1e-3)


@given(arrays(np.uint16, 5))
def test_bfloat16_is_the_upper_half(halves):
    np.testing.assert_array_equal(widened(halves).view(np.uint32) >> 16, halves)


@given(st.integers(-256, 256))
def test_small_whole_numbers_are_exact_in_bfloat16(number):
    half = np.array([number], np.float32).view(np.uint32) >> 16
    assert widened(half.astype(np.uint16))[0] == number


def test_bfloat16_files(tmp_path):
    halves = (VALUES[0, :2].copy().view(np.uint32) >> 16).astype("<u2")
    read = raw(tmp_path / "b", "BF16", halves.tobytes()).tensor("w")
    np.testing.assert_allclose(read, VALUES[0, :2], rtol=2**-7)


def test_shards_are_read_as_one(tmp_path):
    save_file({"a": VALUES}, tmp_path / "x-1.safetensors")
    save_file({"b": VALUES + 1}, tmp_path / "x-2.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(index))
    files = SafetensorsFiles(weight_files(tmp_path))
    np.testing.assert_array_equal(files.tensor("b"), VALUES + 1)
    assert files.names() == {"a", "b"}
    (tmp_path / "x-2.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no x-2\.safetensors, which .* names; copy every shard"):
        weight_files(tmp_path)
    (tmp_path / INDEX).write_text('{"weight_map": {"a": "../x-1.safetensors"}}')
    with pytest.raises(ModelError, match=r"has no \.\./x-1"):
        weight_files(tmp_path)
    (tmp_path / INDEX).write_text("[")
    with pytest.raises(ModelError, match="cannot be used"):
        weight_files(tmp_path)


def test_a_folder_without_weights(tmp_path):
    with pytest.raises(ModelError, match=r"neither model\.safetensors nor model\.safetensors\.index\.json"):
        weight_files(tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 8, b"\xff" * 8 + b"{}", (4).to_bytes(8, "little") + b"nope", (99).to_bytes(8, "little") + b"{}"],
    ids=["empty", "none", "huge", "json", "short"],
)
def test_what_is_no_safetensors_file(tmp_path, data):
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(ModelError, match="safetensors file"):
        SafetensorsFiles((tmp_path / "m",))


def test_what_a_header_may_not_say(tmp_path):
    with pytest.raises(ModelError, match="does not have the bytes that its shape"):
        raw(tmp_path / "m", "F32", b"1234", shape=(2,)).tensor("w")
    with pytest.raises(ModelError, match="does not have the bytes"):
        raw(tmp_path / "m", "F32", b"1234", shape=(1,), offsets=[4, 8]).tensor("w")
    with pytest.raises(ModelError, match="w is stored as F8_E4M3; the converter reads F64"):
        raw(tmp_path / "m", "F8_E4M3", b"12").tensor("w")
    with pytest.raises(ModelError, match="no tensor 'q'"):
        raw(tmp_path / "m", "F16", b"1234").tensor("q")
