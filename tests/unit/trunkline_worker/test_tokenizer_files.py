import msgspec
import pytest

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.gguf_weights import GgufWeights, TokenIds
from trunkline_worker.convert.tokenizer_files import write_decoder_tokenizer, write_encoder_tokenizer
from trunkline_worker.tokenizer import read_tokenizer, read_tokenizer_config


def test_a_decoders_files(tiny_gguf, tmp_path):
    weights = GgufWeights(tiny_gguf)
    write_decoder_tokenizer(weights.tokenizer(), weights.token_ids(), 512, tmp_path)
    config = read_tokenizer_config(tmp_path)
    assert (config.bos_token, config.eos_token, config.model_max_length) == ("<|im_start|>", "<|im_end|>", 512)
    tokenizer = read_tokenizer(tmp_path / "tokenizer.json")
    assert tokenizer.encode("<|im_end|>").ids == [2]
    assert tokenizer.encode("12").tokens == ["1", "2"]


def test_another_way_of_splitting_is_refused(tiny_gguf, tmp_path):
    source = msgspec.structs.replace(GgufWeights(tiny_gguf).tokenizer(), pre_tokenizer="tekken")
    with pytest.raises(ModelError, match=r"splits by 'tekken'; the converter knows gpt-2, .*beside the GGUF file"):
        write_decoder_tokenizer(source, TokenIds(), 512, tmp_path)


def test_an_encoders_padding_and_cutting_are_left_out(tiny_bert, tmp_path):
    assert len(read_tokenizer(tiny_bert / "tokenizer.json").encode("a").ids) == 64
    write_encoder_tokenizer(tiny_bert, 256, tmp_path)
    tokenizer = read_tokenizer(tmp_path / "tokenizer.json")
    assert tokenizer.encode("a").ids[0] == 2
    assert len(tokenizer.encode("a").ids) == 3
    assert len(tokenizer.encode("a " * 300).ids) == 302
