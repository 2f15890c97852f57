from datetime import UTC, datetime

import msgspec
import pytest

from trunkline_kit.errors import InvalidRequest
from trunkline_standalone.commands import objects
from trunkline_standalone.commands.changes import Changes
from trunkline_standalone.commands.objects import (
    KEYS,
    TEAMS,
    Managed,
    Mark,
    path_of,
    say_object,
    state_of,
    told_secrets,
)
from trunkline_standalone.remote import Remote

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def test_paths_escape_what_ids_have():
    assert path_of(TEAMS, "a/b c") == "/teams/a%2Fb%20c"
    assert path_of(KEYS, "k", "limits", "tokens") == "/keys/k/limits/tokens"


def test_how_a_key_is():
    assert state_of(Managed(id="k")) == "on"
    assert state_of(Managed(id="k", expires_at=NOW)) == "until 2026-01-02 03:04"
    assert state_of(Managed(id="k", disabled=True, expires_at=NOW)) == "disabled"
    assert told_secrets((Mark("ab12"), Mark("cd34", expires_at=NOW))) == "…ab12 …cd34"


def test_an_object_for_people_and_for_programs(capsys):
    answer = msgspec.json.encode({"id": "t", "object": "team", "version": 3, "org": "o", "weight": 2.0, "new_field": 1})
    say_object(answer, as_json=False)
    assert capsys.readouterr().out.splitlines() == ["id\tt", "org\to", "weight\t2", "version\t3"]
    say_object(answer, as_json=True)
    assert msgspec.json.decode(capsys.readouterr().out)["new_field"] == 1


@pytest.mark.parametrize("noun", objects.NOUNS.values(), ids=lambda noun: noun.plural)
def test_every_column_has_a_cell(noun):
    row = objects._row(Managed(id="x", declared=True), noun)
    assert len(row) == len(noun.columns) + 3
    assert row[-1] == "file"


def test_a_change_of_nothing_is_none(tmp_path):
    with pytest.raises(InvalidRequest, match="nothing was given to change; `trunkline keys set --help`"):
        objects.run_set(Remote(home=tmp_path), KEYS, "k", Changes(), as_json=False)


def test_what_a_key_may_ask_for_is_always_shown(capsys):
    for models, shown in (([], "none"), (["gpt-*"], "gpt-*")):
        say_object(msgspec.json.encode({"id": "k", "object": "key", "models": models, "declared": True}), as_json=False)
        fields = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
        assert (fields["models"], fields["declared in"]) == (shown, "the configuration file")
        assert "version" not in fields
