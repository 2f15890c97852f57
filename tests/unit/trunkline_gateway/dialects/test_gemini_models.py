import pytest

from trunkline_gateway.dialects.gemini_models import ABILITIES, EFFORTS, Profile, abilities_of, profile_of


@pytest.mark.parametrize(
    ("model", "levels"),
    [
        ("gemini-3-pro-preview", ("low", "high")),
        ("gemini-3.1-pro", ("low", "medium", "high")),
        ("gemini-3-flash", ("minimal", "low", "medium", "high")),
        ("publishers/google/models/Gemini-3.5-Flash-Lite", ("minimal", "low", "medium", "high")),
        ("gemini-10-pro", ("low", "medium", "high")),
    ],
)
def test_models_with_levels_check_signatures(model, levels):
    profile = profile_of(model)
    assert (profile.levels, profile.checks_signatures, profile.can_stop_thinking) == (levels, True, False)
    assert abilities_of(model) == ABILITIES


@pytest.mark.parametrize(
    ("model", "budgets", "can_stop"),
    [
        ("gemini-2.5-pro", (128, 32768), False),
        ("gemini-2.5-flash", (0, 24576), True),
        ("gemini-2.5-flash-lite-preview", (512, 24576), True),
    ],
)
def test_models_with_budgets(model, budgets, can_stop):
    profile = profile_of(model)
    assert (profile.budget_min, profile.budget_max) == budgets
    assert (profile.can_stop_thinking, profile.levels, profile.media_in_results) == (can_stop, (), False)
    assert not abilities_of(model).tool_result_media


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemini-1.5-pro", "gemma-3-27b-it"])
def test_models_that_do_not_think(model):
    assert not abilities_of(model).thinking


@pytest.mark.parametrize("model", ["gemini-flash-latest", "tunedModels/mine", "endpoints/123", ""])
def test_an_unknown_model_can_do_everything(model):
    assert profile_of(model) == Profile()
    assert abilities_of(model) == ABILITIES


def test_levels_are_efforts():
    assert set(profile_of("gemini-3-flash").levels) <= set(EFFORTS)
