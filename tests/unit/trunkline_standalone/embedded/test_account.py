import os
import pwd

from trunkline_standalone.embedded.account import is_open_to_all, own_account, server_account


def test_own_account_is_who_runs_this():
    assert own_account().name == pwd.getpwuid(os.geteuid()).pw_name


def test_a_server_never_runs_as_root():
    assert server_account().uid != 0
    if os.geteuid() != 0:
        assert server_account() == own_account()


def test_open_to_all_looks_at_the_file_and_every_folder(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    file = folder / "f"
    file.write_text("")
    file.chmod(0o600)
    assert not is_open_to_all(file)
    file.chmod(0o644)
    folder.chmod(0o700)
    assert not is_open_to_all(file)
    assert is_open_to_all(type(file)("/etc/passwd"))
