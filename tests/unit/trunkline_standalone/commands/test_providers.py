"""What the commands say of presets and profiles."""

import pytest

from trunkline_kit.errors import InvalidRequest
from trunkline_kit.presets import PRESETS
from trunkline_standalone.commands.providers import run_presets, run_profile


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_can_be_shown(name, capsys):
    run_presets(name, as_json=False)
    shown = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert shown["address"] == PRESETS[name].base_url
    assert shown.get("prices as", "") == PRESETS[name].listed_as


def test_a_preset_that_is_not_there_is_said(capsys):
    with pytest.raises(InvalidRequest, match="no preset 'x'"):
        run_presets("x", as_json=True)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(("model", "profile"), [("o3", "openai-reasoning"), ("mine", "any")])
def test_a_profile_is_named(model, profile, capsys):
    run_profile(model, as_json=False)
    assert capsys.readouterr().out.splitlines()[0] == f"profile\t{profile}"
