from uuid import UUID

import pytest
from msgspec import structs

from trunkline_gateway.admission.estimation import Estimator
from trunkline_gateway.auth import Principal
from trunkline_gateway.ledger.entries import Ending, closed, opened, read_tokens, rows_of
from trunkline_gateway.ledger.rows import HEDGE_LOST, TAGS_MAX, decode_rows, encode_rows
from trunkline_gateway.ledger.slots import Found
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import Pricing, Quote
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Reservation, Tried, Turn
from trunkline_gateway.usage import CompletionDetails, PromptDetails, Usage, usage_of
from trunkline_policy.costs import Price, Rates

FIRST = Target(model="m", provider="one", provider_model="real")
SECOND = Target(model="m", provider="two", provider_model="real")
PRICING = Pricing({("one", "real"): (Quote(since_s=0, price=Price(rates=Rates(input=2_000_000)), version="v1"),)})
BODY = b'{"messages":"' + b"word " * 100 + b'"}'
NOW_S = 1_000.0


def turn(**more):
    known = {
        "surface": Surface.CHAT,
        "principal": Principal(key_id="k", team="t", org="o", project="p"),
        "request_id": "r",
        "traceparent": "",
        "started_s": 0.0,
        "model": "m",
        "trace_id": "ab",
        "outcome": "ok",
        "took_s": 3.0,
    }
    return Turn(**{**known, **more})


def answered(target=FIRST, **more):
    return Tried(target=target, started_s=50.0, ended_s=51.0, **more)


def rows(made, pricing=PRICING):
    return rows_of(made, pricing, Ending(now_s=NOW_S, loop_s=53.0, body=BODY, cached_id=UUID(int=9)))


def test_a_reported_answer_is_billed_as_reported():
    (row,) = rows(turn(tried=[answered()], usage=usage_of(100, 20, 40)))
    assert (row.uncached_input_tokens, row.cache_read_tokens, row.output_tokens) == (60, 40, 20)
    assert (row.usage_source, row.outcome, row.cost_nusd, row.price_version) == ("reported", "ok", 200, "v1")
    assert (row.org, row.team, row.project, row.key_id, row.trace_id) == ("o", "t", "p", "k", "ab")


def test_moments_are_the_attempts_own():
    (row,) = rows(turn(tried=[answered()], usage=usage_of(1, 1)))
    assert (row.started_us, row.latency_us, row.ttft_us) == (997_000_000, 1_000_000, None)
    (row,) = rows(turn(tried=[answered()], usage=usage_of(1, 1), stream=True))
    assert (row.latency_us, row.ttft_us) == (3_000_000, 1_000_000)


def test_what_is_paid_by_the_time_of_a_gpu_costs_as_long_as_it_took():
    price = Price(rates=Rates(), gpu_second_nusd=1_000_000, gpu_requests=2)
    pricing = Pricing({("one", "real"): (Quote(since_s=0, price=price, version="gpu"),)})
    (whole,) = rows(turn(tried=[answered()], usage=usage_of(1, 1)), pricing)
    (streamed,) = rows(turn(tried=[answered()], usage=usage_of(1, 1), stream=True), pricing)
    assert (whole.cost_nusd, streamed.cost_nusd) == (500_000, 1_500_000)
    (failed, _) = rows(turn(tried=[answered(failed="timeout"), answered(SECOND)], usage=usage_of(1, 1)), pricing)
    assert (failed.cost_nusd, failed.latency_us) == (0, 1_000_000)


def test_a_team_pays_its_own_price():
    def quotes(rate, version):
        return (Quote(since_s=0, price=Price(rates=Rates(input=rate)), version=version),)

    pricing = Pricing(
        {("one", "real"): quotes(2_000_000, "all")}, of_teams={("t", "one", "real"): quotes(1_000_000, "team")}
    )
    (row,) = rows(turn(tried=[answered()], usage=usage_of(100, 0)), pricing)
    assert (row.cost_nusd, row.price_version) == (100, "team")


def test_failed_attempts_are_there_and_cost_nothing():
    made = turn(tried=[answered(failed="timeout"), answered(SECOND)], usage=usage_of(100, 1))
    first, second = rows(made)
    assert (first.outcome, first.cost_nusd, first.usage_source, first.latency_us) == (
        "error:timeout",
        0,
        "none",
        1_000_000,
    )
    assert (first.attempt, second.attempt, second.provider) == (1, 2, "two")
    assert not first.unpriced


def test_without_a_price_an_attempt_is_marked_not_free():
    (row,) = rows(turn(tried=[answered(SECOND)], usage=usage_of(100, 1)))
    assert (row.unpriced, row.cost_nusd, row.price_version) == (True, 0, "")


def test_an_explicit_zero_is_believed():
    (row,) = rows(turn(tried=[answered()], usage=Usage(prompt_tokens=0, completion_tokens=0)))
    assert (row.usage_source, row.cost_nusd, row.uncached_input_tokens) == ("reported", 0, 0)


@pytest.mark.parametrize("usage", [None, Usage()])
def test_a_stream_that_reports_nothing_is_estimated_from_what_was_counted(usage):
    (row,) = rows(turn(tried=[answered()], usage=usage, stream=True, pieces=8))
    assert (row.usage_source, row.output_tokens) == ("estimated", 7)
    assert 80 < row.uncached_input_tokens < 200


@pytest.mark.parametrize(
    ("ended", "outcome"),
    [("broken", "stream_broken"), ("cancelled", "client_cancelled"), ("key_revoked", "key_revoked")],
)
def test_cut_streams_are_settled_from_what_was_counted(ended, outcome):
    (row,) = rows(turn(tried=[answered()], stream=True, pieces=5, outcome=ended))
    assert (row.outcome, row.usage_source, row.output_tokens) == (outcome, "estimated", 4)
    assert row.cost_nusd > 0


def test_a_caller_that_leaves_before_the_answer_begins_has_still_asked():
    asked = Tried(target=FIRST, started_s=50.0)
    (row,) = rows(turn(tried=[asked], outcome="cancelled"))
    assert (row.outcome, row.usage_source, row.output_tokens, row.latency_us) == (
        "client_cancelled",
        "estimated",
        0,
        3_000_000,
    )


def test_what_the_provider_refuses_costs_nothing():
    asked = Tried(target=FIRST, started_s=50.0)
    (row,) = rows(turn(tried=[asked], outcome="upstream_refused"))
    assert (row.outcome, row.cost_nusd, row.usage_source) == ("error:upstream_refused", 0, "none")


def test_an_answer_from_the_cache_is_one_row_without_cost():
    (row,) = rows(turn(outcome="cached", usage=usage_of(10, 5), cache="hit"))
    assert (row.outcome, row.attempt, row.cost_nusd, row.provider) == ("cached", 0, 0, "")
    assert (row.uncached_input_tokens, row.output_tokens, row.latency_us) == (10, 5, 3_000_000)
    assert not row.unpriced


def test_a_request_that_reached_nobody_has_no_row():
    assert rows(turn(outcome="model_not_found")) == []


def test_counts_beyond_all_measure_still_make_a_row():
    (row,) = rows(turn(tried=[answered()], usage=usage_of(10**26, 10**26)))
    assert decode_rows(encode_rows([row])) == [row]
    assert row.output_tokens < 2**63


ID = UUID(int=7)


def begun(target=FIRST, **more):
    return Tried(target=target, started_s=50.0, attempt_id=ID, started_us=900_000_000, **more)


def test_a_row_keeps_its_id_and_its_start_whatever_becomes_of_the_attempt():
    made = turn(tried=[begun()], read_tokens=100, stream=True, tags=("a", "b"))
    lost = opened(made)
    (settled,) = rows(made)
    assert {(row.attempt_id, row.started_us) for row in (lost, settled)} == {(ID, 900_000_000)}
    assert (lost.outcome, lost.usage_source, lost.uncached_input_tokens, lost.attempt) == ("lost", "estimated", 100, 1)
    assert settled.tags == lost.tags == ("a", "b")


def test_what_was_lost_in_flight_is_charged_for_what_was_counted():
    lost = opened(turn(tried=[begun()], read_tokens=100, stream=True))
    row = closed(Found(lost, pieces=8, elapsed_ms=250), PRICING)
    assert (row.outcome, row.usage_source) == ("lost", "estimated")
    assert (row.uncached_input_tokens, row.output_tokens, row.latency_us) == (100, 7, 250_000)
    assert (row.cost_nusd, row.price_version, row.unpriced) == (200, "v1", False)
    assert closed(Found(lost), PRICING).output_tokens == 0
    assert closed(Found(lost), Pricing()).unpriced


def test_what_had_settled_is_sent_on_as_it_is():
    (settled,) = rows(turn(tried=[begun()], usage=usage_of(100, 20)))
    assert closed(Found(settled, pieces=5), Pricing()) is settled


def test_input_is_what_the_limits_were_told():
    estimate = Estimator().estimate("m", "k", BODY, None, 1)
    assert read_tokens(turn(), BODY) == estimate.input_tokens
    reserved = Reservation(estimate=structs.replace(estimate, input_tokens=17))
    assert read_tokens(turn(reservation=reserved), BODY) == 17
    (row,) = rows(turn(tried=[begun()], stream=True, pieces=3, reservation=reserved))
    assert row.uncached_input_tokens == 17


def test_rows_say_why_an_attempt_went_where_it_went():
    other = Target(model="n", provider="one", provider_model="real")
    made = turn(tried=[begun(failed="x"), begun(failed="x"), begun(SECOND, failed="x"), begun(other)])
    assert [row.reason for row in rows(made)] == ["", "retry", "failover", "fallback"]
    assert opened(made).reason == "fallback"


def test_every_class_of_tokens_has_its_column():
    usage = Usage(
        prompt_tokens=100,
        completion_tokens=50,
        prompt_tokens_details=PromptDetails(cached_tokens=10, cache_write_tokens=20, audio_tokens=5, image_tokens=6),
        completion_tokens_details=CompletionDetails(reasoning_tokens=7, audio_tokens=8, image_tokens=9),
    )
    (row,) = rows(turn(tried=[begun()], usage=usage))
    assert (row.uncached_input_tokens, row.cache_read_tokens, row.cache_write_tokens) == (70, 10, 20)
    assert (row.audio_input_tokens, row.image_input_tokens) == (5, 6)
    assert (row.output_tokens, row.reasoning_tokens, row.audio_output_tokens, row.image_output_tokens) == (50, 7, 8, 9)


def test_search_units_are_paid_each_and_have_a_column():
    price = Price(rates=Rates(request_nusd=2_000_000))
    pricing = Pricing({("one", "real"): (Quote(since_s=0, price=price, version="v"),)})
    made = turn(tried=[answered()], usage=Usage(search_units=3))
    made.surface = Surface.RERANK
    (row,) = rows(made, pricing)
    assert (row.surface, row.search_units, row.cost_nusd, row.usage_source) == ("rerank", 3, 6_000_000, "reported")
    made.usage = None
    (row,) = rows(made, pricing)
    assert (row.search_units, row.cost_nusd, row.usage_source, row.output_tokens) == (0, 2_000_000, "estimated", 0)


def test_tags_are_bounded():
    (row,) = rows(turn(tried=[begun()], tags=tuple(map(str, range(40)))))
    assert len(row.tags) == TAGS_MAX


def test_a_hedge_that_lost_is_charged_for_what_it_read():
    lost = answered(failed=HEDGE_LOST, is_wasted=True)
    won = answered(SECOND, is_hedge=True)
    first, second = rows(turn(tried=[lost, won], usage=usage_of(100, 20)))
    assert (first.outcome, first.usage_source, first.reason) == ("hedge_lost", "estimated", "")
    assert first.uncached_input_tokens > 0
    assert (second.outcome, second.usage_source, second.reason) == ("ok", "reported", "hedge")


def test_what_a_provider_billed_before_it_failed_is_charged_as_it_said():
    failed = answered(failed="upstream_error", is_wasted=True, owed=usage_of(384, 0))
    first, _ = rows(turn(tried=[failed, answered(SECOND)], usage=usage_of(100, 20)))
    assert (first.outcome, first.usage_source) == ("error:upstream_error", "reported")
    assert (first.uncached_input_tokens, first.output_tokens) == (384, 0)


def test_the_one_that_answers_need_not_be_the_last():
    made = turn(
        tried=[answered(), answered(SECOND, is_hedge=True, failed=HEDGE_LOST, is_wasted=True)],
        answering=0,
        usage=usage_of(100, 20),
    )
    first, second = rows(made)
    assert (first.outcome, first.usage_source, first.output_tokens) == ("ok", "reported", 20)
    assert (second.outcome, second.usage_source, second.output_tokens) == ("hedge_lost", "estimated", 0)


def test_an_answer_that_broke_before_anybody_got_it_is_charged_for_what_came():
    broken = answered(failed="upstream_error", is_wasted=True, pieces=8)
    first, _ = rows(turn(tried=[broken, answered(SECOND)], usage=usage_of(100, 20)))
    assert (first.outcome, first.usage_source, first.output_tokens) == ("error:upstream_error", "estimated", 7)
    assert first.cost_nusd > 0
