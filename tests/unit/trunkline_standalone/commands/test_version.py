from trunkline_standalone.commands.version import run_version


def test_ours_first_and_only_what_is_installed(capsys):
    run_version()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("trunkline ")
    assert lines[1].startswith("python 3.")
    assert all(len(line.split()) == 2 for line in lines[1:])
