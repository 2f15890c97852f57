import hashlib
import re
import stat

import pytest

from trunkline_kit.errors import ConfigError
from trunkline_standalone.key import ensure_key, ensure_pepper


def test_a_key_is_made_once(tmp_path):
    path = tmp_path / "key"
    first, second = ensure_key(path), ensure_key(path)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.secret == second.secret
    assert path.read_bytes() == first.secret.reveal().encode()


def test_its_form_and_rights(tmp_path):
    key = ensure_key(tmp_path / "key")
    assert re.fullmatch(r"tl-[A-Za-z0-9_-]{43}", key.secret.reveal())
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_keys_differ(tmp_path):
    assert len({ensure_key(tmp_path / str(number)).secret for number in range(20)}) == 20


def test_hash_and_repr(tmp_path):
    key = ensure_key(tmp_path / "key")
    assert key.sha256 == hashlib.sha256(key.secret.reveal().encode()).digest()
    assert key.secret.reveal() not in repr(key)


def test_rights_that_were_opened_are_closed_again(tmp_path):
    path = tmp_path / "key"
    ensure_key(path)
    path.chmod(0o644)
    ensure_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_editors_newline_does_no_harm(tmp_path):
    path = tmp_path / "key"
    made = ensure_key(path)
    path.write_text(f"{made.secret.reveal()}\n")
    assert ensure_key(path).secret == made.secret


@pytest.mark.parametrize("text", ["", "tl-short", "sk-" + "a" * 43, "tl-" + "é" * 43])
def test_something_else_in_the_file_is_refused(tmp_path, text):
    (tmp_path / "key").write_text(text)
    with pytest.raises(ConfigError, match="holds no key"):
        ensure_key(tmp_path / "key")
    assert (tmp_path / "key").read_text() == text


def test_a_pepper_is_made_once_for_its_owner_only(tmp_path):
    path = tmp_path / "pepper"
    first = ensure_pepper(path)
    assert ensure_pepper(path) == first
    assert len(first.reveal()) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_pepper_that_was_cut_short_is_not_replaced(tmp_path):
    (tmp_path / "pepper").write_text("short")
    with pytest.raises(ConfigError, match="put the old file back"):
        ensure_pepper(tmp_path / "pepper")
    assert (tmp_path / "pepper").read_text() == "short"
