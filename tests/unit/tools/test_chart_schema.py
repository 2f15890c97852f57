"""The chart's schema follows the settings, and keeps what was written by hand."""

import json

import chart_schema


def chart(tmp_path, **definitions):
    file = tmp_path / "values.schema.json"
    hand = {"title": "by hand", "properties": {"config": {}, "router": {"type": "object"}}, "$defs": definitions}
    file.write_text(json.dumps(hand))
    return file


def test_what_is_stale_is_found_then_mended(tmp_path, capsys):
    file = chart(tmp_path)
    assert chart_schema.main(["--check"], file) == 1
    assert "tools/check --fix chart-schema" in capsys.readouterr().out
    assert chart_schema.main([], file) == 0
    assert chart_schema.main(["--check"], file) == 0


def test_what_was_written_by_hand_stays_and_old_settings_go(tmp_path):
    file = chart(tmp_path, image={"type": "string"}, **{"trunkline.Gone": {}})
    chart_schema.main([], file)
    schema = json.loads(file.read_text())
    assert schema["title"] == "by hand"
    assert schema["properties"]["router"] == {"type": "object"}
    assert schema["$defs"]["image"] == {"type": "string"}
    assert "trunkline.Gone" not in schema["$defs"]


def test_users_cannot_set_what_the_chart_fills_in(tmp_path):
    file = chart(tmp_path)
    chart_schema.main([], file)
    config = json.loads(file.read_text())["properties"]["config"]
    assert not {"listen", "services", "workers"} & set(config["properties"])
    assert config["additionalProperties"] is False
