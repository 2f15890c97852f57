import pytest

from trunkline_worker.command import main


def test_errors_are_one_line(tmp_path, capsys):
    config = tmp_path / "trunkline.yaml"
    config.write_text('workers: {w: {}}\nlisten: {grpc: "127.0.0.1:0", metrics: "127.0.0.1:0"}\n')
    arguments = ["--config", str(config), "--home", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"workers\.x is not in the configuration; there is w"):
        main([*arguments, "--worker", "x"])
    with pytest.raises(SystemExit, match="run `trunkline models prepare smollm2-135m-instruct`"):
        main([*arguments, "--worker", "w"])


def test_a_worker_must_be_named(capsys):
    with pytest.raises(SystemExit):
        main([])
    assert "--worker" in capsys.readouterr().err
