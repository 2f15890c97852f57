import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.errors import ConfigError
from trunkline_kit.secrets import Secret, is_reference, resolve


def test_fetches_from_environment_and_file(tmp_path):
    path = tmp_path / "key"
    path.write_text("from-file\n")
    assert resolve("env:KEY", {"KEY": "from-env"}).reveal() == "from-env"
    assert resolve(f"file:{path}", {}).reveal() == "from-file"
    assert resolve("redis://host:1/0", {}).reveal() == "redis://host:1/0"
    assert is_reference("env:KEY")
    assert not is_reference("redis://host")


@pytest.mark.parametrize("reference", ["env:NOPE", "file:/nowhere/at/all"])
def test_a_reference_that_leads_nowhere_is_named(reference):
    with pytest.raises(ConfigError, match=reference):
        resolve(reference, {"OTHER": "x"})


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "key").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        resolve(f"file:{tmp_path / 'key'}", {})


@given(st.text(min_size=4))
def test_a_secret_never_shows(value):
    secret = Secret(value)
    assert repr(secret) == str(secret) == f"{secret}" == "Secret(…)"
    assert secret == Secret(value)
    assert secret != value
