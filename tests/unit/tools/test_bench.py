import bench

SOURCE = '''"""Counts to its argument."""

def main(argv):
    print(*argv)
    return len(argv)
'''


def folder_with(tmp_path, **files):
    for name, source in files.items():
        (tmp_path / f"{name}.py").write_text(source)
    return tmp_path


def test_lists_benchmarks_with_their_first_line(tmp_path, capsys):
    folder = folder_with(tmp_path, count=SOURCE, _shared="")
    for arguments in ([], ["--help"]):
        assert bench.main(arguments, folder) == 0
        output = capsys.readouterr().out
        assert "count        Counts to its argument." in output
        assert "_shared" not in output


def test_runs_one_with_its_arguments(tmp_path, capsys):
    assert bench.main(["count", "--json", "x"], folder_with(tmp_path, count=SOURCE)) == 2
    assert capsys.readouterr().out == "--json x\n"


def test_an_unknown_name_is_said_with_what_there_is(tmp_path, capsys):
    assert bench.main(["speed"], folder_with(tmp_path, count=SOURCE)) == 2
    assert "no benchmark 'speed'" in (said := capsys.readouterr().err)
    assert "count" in said


def test_an_empty_folder_says_so(tmp_path, capsys):
    assert bench.main([], tmp_path) == 0
    assert "(none yet)" in capsys.readouterr().out


def test_every_benchmark_here_says_what_it_is():
    assert all(bench.summary(bench.BENCHES / f"{name}.py") for name in bench.names(bench.BENCHES))
