"""The real OpenAI SDK against `trunkline up`: our own workers answer."""

import http.client
import json
import re
import subprocess
import sys
import threading

import anthropic
import openai
import pytest

from trunkline_testkit import sdk_suite
from trunkline_testkit.processes import Up, fetch, sample, until

MODEL = "smollm2-135m"
ENCODER = "all-minilm-l6-v2"
LABELS = '{model="smollm2-135m-instruct"}'
LONG = [{"role": "user", "content": "Tell a very long story about the sea."}]


def metrics_page(up: Up) -> str:
    """From the address that the log names, or the default one."""
    moved = re.search(r"^metrics is on (\S+),", up.running.stdout, re.MULTILINE)
    return fetch(f"http://{moved.group(1) if moved else '127.0.0.1:9464'}/metrics").body.decode()


@pytest.mark.parametrize("model", ["auto", MODEL, "smollm2-135m-instruct"])
def test_streamed_text_equals_the_whole_answer(up, model):
    with up.client() as client:
        sdk_suite.stream_equals_whole(client, model)


async def test_the_asynchronous_sdk_streams_the_same(up):
    with up.client() as client:
        text = sdk_suite.stream_equals_whole(client, MODEL)
    async with up.async_client() as client:
        await sdk_suite.async_stream_equals(client, MODEL, text)


def test_models(up):
    with up.client() as client:
        sdk_suite.models_are_listed(client, "auto", MODEL, ENCODER)


def test_embeddings_know_what_is_alike(up):
    texts = ["A cat sits on the mat.", "A kitten lies on the rug.", "The stock market fell."]
    with up.client() as client:
        reply = client.embeddings.create(model=ENCODER, input=texts)
    cat, kitten, market = (item.embedding for item in reply.data)
    assert len(cat) == 384
    assert sum(a * b for a, b in zip(cat, kitten, strict=True)) > 2 * sum(
        a * b for a, b in zip(cat, market, strict=True)
    )
    assert reply.usage.prompt_tokens > 10


def test_a_bad_key(up):
    with up.client(key="tl-nobody") as client:
        sdk_suite.refuses_strangers(client, MODEL)


def test_an_unknown_model(up):
    with up.client() as client:
        sdk_suite.refuses_unknown_models(client)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model": 3}', b"\xff\xfe", b""])
def test_bad_json_is_a_400_in_openai_form(up, body):
    reply = fetch(f"{up.url}/v1/chat/completions", body or b" ", up.key)
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["type"] == "invalid_request_error"


def test_a_body_of_two_megabytes_is_read_and_judged(up):
    with up.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "word " * 400_000}])
    assert caught.value.code == "context_length_exceeded"


def test_a_body_over_the_limit_is_a_413(up):
    """Refused by its announced length, before any of it is read."""
    connection = http.client.HTTPConnection(up.url.removeprefix("http://"), timeout=20)
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("authorization", f"Bearer {up.key}")
    connection.putheader("content-length", str(11 << 20))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_unknown_urls_are_404_in_openai_form(up):
    reply = fetch(f"{up.url}/v1/nothing", key=up.key)
    assert reply.status == 404
    assert json.loads(reply.body)["error"]["code"] == "not_found"


def test_a_disconnect_in_mid_stream_frees_the_slot(up):
    with up.client() as client:
        stream = client.chat.completions.create(model=MODEL, messages=LONG, stream=True, max_tokens=1500)
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
        assert sample(metrics_page(up), "trunkline_worker_running", LABELS) >= 1
        stream.close()
    until(lambda: sample(metrics_page(up), "trunkline_worker_running", LABELS) == 0, 5.0, "a free slot")


def test_answers_do_not_depend_on_who_else_is_served(up):
    """More at once than there are slots give what each gives alone."""
    texts: list[str] = []

    def ask() -> None:
        with up.client() as client:
            reply = client.chat.completions.create(model=MODEL, messages=LONG, temperature=0, max_tokens=16)
        texts.append(reply.choices[0].message.content)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=50)
    assert len(texts) == len(threads)
    assert len(set(texts)) == 1


def test_readyz_says_what_is_there(up):
    reply = fetch(f"{up.url}/readyz")
    report = json.loads(reply.body)
    parts = {part["name"]: part for part in report["parts"]}
    assert reply.status == 200
    assert report["ready"]
    assert parts[f"model {MODEL}"]["required"]
    assert parts["valkey"] == {"name": "valkey", "up": True, "required": False, "detail": parts["valkey"]["detail"]}
    assert "pgvector" in parts["postgres"]["detail"]


def test_the_printed_curl_line_works_as_it_is(up):
    line = re.search(r"^curl .*$", up.running.stdout, re.MULTILINE)[0]
    done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=55, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_the_printed_python_lines_work_as_they_are(up):
    lines = re.search(r"^from openai import OpenAI\n(?:.*\n){3}", up.running.stdout, re.MULTILINE)[0]
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, timeout=55, check=True)
    assert done.stdout.strip()


def test_nothing_but_the_greeting_is_on_standard_output(up):
    assert up.running.stdout.startswith("Trunkline is ready at ")
    assert up.running.stdout.rstrip().endswith("print(answer.choices[0].message.content)")
    assert "Traceback" not in up.running.stderr


def test_anthropics_sdk_asks_our_worker_too(up):
    ask = {
        "model": MODEL,
        "max_tokens": 12,
        "messages": [{"role": "user", "content": "Say hello."}],
        "extra_body": {"temperature": 0},
    }
    with anthropic.Anthropic(api_key=up.key, base_url=up.url, max_retries=0) as client:
        whole = client.messages.create(**ask, system="You are brief.")
        with client.messages.stream(**ask, system="You are brief.") as stream:
            said = "".join(stream.text_stream)
            final = stream.get_final_message()
    assert said == whole.content[0].text
    assert said
    assert final.usage.output_tokens == whole.usage.output_tokens > 0
    assert final.stop_reason in {"end_turn", "max_tokens"}
