import genproto
import pytest


def test_differences_are_files_of_either_side_or_of_other_content(tmp_path):
    left, right = tmp_path / "left", tmp_path / "right"
    for root, files in (
        (left, {"a/same": "1", "a/changed": "1", "gone": "1"}),
        (right, {"a/same": "1", "a/changed": "2"}),
    ):
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
    (right / "__pycache__").mkdir()
    (right / "__pycache__" / "x.pyc").write_text("")
    assert genproto.differences(left, right) == ["a/changed", "gone"]
    assert genproto.differences(right, right) == []


def test_another_generator_is_refused(monkeypatch):
    monkeypatch.setattr(genproto, "GENERATOR_VERSION", "0.0.1")
    with pytest.raises(SystemExit, match=r"needs grpcio-tools==0\.0\.1"):
        genproto.require_generator()


def test_generated_code_is_a_package_at_every_level(tmp_path):
    genproto.generate(tmp_path)
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert folders
    assert all((folder / "__init__.py").read_text() == genproto.HEADER for folder in folders)
    assert (tmp_path / "trunkline" / "py.typed").exists()
