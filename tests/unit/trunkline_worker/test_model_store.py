"""Prepared folders: found, listed, verified, and refused with the file's name when something is wrong."""

import shutil

import msgspec
import pytest

from trunkline_kit.errors import ModelError, ModelNotFound
from trunkline_worker.catalogue import MINILM, ModelKind
from trunkline_worker.convert.folder import convert
from trunkline_worker.convert.precision import Precision
from trunkline_worker.manifest import read_manifest, write_manifest
from trunkline_worker.model_store import is_prepared, list_models, open_model, variant_folder, verify


@pytest.fixture
def home(tiny_bert, tmp_path):
    """A home with a tiny model under the encoder's name."""
    folder = variant_folder(tmp_path, MINILM, Precision.Q8)
    folder.mkdir(parents=True)
    convert(MINILM, tiny_bert, Precision.Q8, folder)
    return tmp_path


def test_a_prepared_model_opens(home):
    opened = open_model(home, MINILM.name)
    assert (opened.kind, opened.variant, opened.licence) == (ModelKind.EMBED, "q8", "Apache-2.0")
    assert opened.revision == verify(home, MINILM.name).revision
    assert is_prepared(home, MINILM, Precision.Q8)
    assert not is_prepared(home, MINILM, Precision.F32)


def test_listing(home):
    (one,) = list_models(home)
    assert (one.name, one.variant, one.problem) == (MINILM.name, "q8", "")
    assert one.size_bytes == sum(path.stat().st_size for path in one.path.iterdir() if path.name != "manifest.json")
    (one.path / "tokenizer.json").unlink()
    assert "tokenizer.json" in list_models(home)[0].problem
    (one.path / "manifest.json").write_text("{")
    assert "damaged" in list_models(home)[0].problem


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json", "genai_config.json"])
def test_one_flipped_bit_is_found(home, name):
    path = variant_folder(home, MINILM, Precision.Q8) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=rf"{name} is damaged; run `trunkline models prepare {MINILM.name}`"):
        open_model(home, MINILM.name)
    assert not is_prepared(home, MINILM, Precision.Q8)


def test_what_is_missing_is_named(home):
    with pytest.raises(ModelNotFound, match="smollm2-135m-instruct, all-minilm-l6-v2"):
        open_model(home, "gpt-9")
    with pytest.raises(ModelError, match="is not prepared"):
        open_model(home, "smollm2-135m-instruct")
    folder = variant_folder(home, MINILM, Precision.Q8)
    manifest = read_manifest(folder)
    write_manifest(msgspec.structs.replace(manifest, converter_version=0), folder)
    with pytest.raises(ModelError, match="another version of the converter"):
        open_model(home, MINILM.name)
    (folder / "model.onnx").unlink()
    write_manifest(manifest, folder)
    with pytest.raises(ModelError, match=r"model\.onnx is missing"):
        open_model(home, MINILM.name)


def test_a_folder_of_ones_own(home, tmp_path):
    own = tmp_path / "mine"
    shutil.copytree(variant_folder(home, MINILM, Precision.Q8), own)
    (own / "manifest.json").unlink()
    opened = open_model(home, f"path:{own}")
    assert (opened.name, opened.variant, opened.kind) == ("mine", "own", ModelKind.EMBED)
    for name in ("tokenizer.json", "model.onnx", "genai_config.json"):
        (own / name).unlink()
        with pytest.raises(ModelError, match=f"has no {name}"):
            open_model(home, f"path:{own}")
    with pytest.raises(ModelError, match="is not a folder"):
        open_model(home, f"path:{tmp_path}/nowhere")


def test_a_description_that_says_nothing_is_refused(home, tmp_path):
    (tmp_path / "genai_config.json").write_text('{"model":{"type":"x","context_length":8,"vocab_size":3}}')
    with pytest.raises(ModelError, match="exactly one of"):
        open_model(home, f"path:{tmp_path}")
    (tmp_path / "genai_config.json").write_text('{"model":{"type":"x","context_length":"8"}}')
    with pytest.raises(ModelError, match=r"context_length"):
        open_model(home, f"path:{tmp_path}")
