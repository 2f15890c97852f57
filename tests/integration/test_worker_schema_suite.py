"""No answer that is complete is ever invalid: the JSON Schema Test Suite's instances, and walks through its schemas."""

import json
from random import Random

import jsonschema_rs
import pytest

from trunkline_testkit.schema_suite import byte_guides, require_suite, tally, walks

pytestmark = pytest.mark.timeout(300)
UNDECIDED = {"refRemote", "vocabulary", "dynamicRef"}
"""Whose schemas refer to a server; all of them are refused here."""


@pytest.fixture(scope="module")
def suite():
    return require_suite()


def test_no_invalid_instance_can_be_written(suite):
    guides = byte_guides()
    tallies = {keyword: tally(guides, groups) for keyword, groups in suite.items()}
    assert {keyword: one.let_through for keyword, one in tallies.items() if one.let_through} == {}
    assert sum(one.schemas for one in tallies.values()) == 368
    # What is followed today; more is better.
    assert sum(one.refused for one in tallies.values()) <= 204
    assert sum(one.reached for one in tallies.values()) >= 330
    assert sum(one.kept_out for one in tallies.values()) >= 237


def test_whatever_is_written_to_its_end_is_valid(suite):
    guides, written = byte_guides(), 0
    for keyword, groups in suite.items():
        for group in groups if keyword not in UNDECIDED else ():
            validator = jsonschema_rs.Draft202012Validator(json.loads(bytes(group.schema)))
            for text in walks(guides, group, Random(1), 4):
                # Python's floats end at 1e308, JSON's numbers do not.
                if "e" not in text.lower():
                    assert validator.is_valid(json.loads(text)), (keyword, group.description, text)
                    written += 1
    assert written > 400
