"""A new layer is written with a test that passes, and nothing is overwritten."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from matjax.cli.new_layer import names, new_layer

ROOT = Path(__file__).parents[2]
app = typer.Typer()
app.command()(new_layer)


def run(*arguments: object) -> str:
    """Output of the command; what it raises is raised."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """pytest in the folder, as a user would call it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


CHECK = "test_my_layer.py::test_it_keeps_the_contract[4x0e]"


def test_the_written_layer_passes_the_written_test(tmp_path) -> None:
    said = run("my-layer", "--out", tmp_path / "layers")
    assert f"wrote {tmp_path / 'layers' / 'my_layer.py'}" in said and 'layers=(MyLayer("32x0e+32x1o"),)' in said
    done = run_pytest(tmp_path / "layers", CHECK)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


@pytest.mark.slow
def test_a_layer_that_was_broken_does_not_pass_the_written_test(tmp_path) -> None:
    run("my-layer", "--out", tmp_path)
    module = tmp_path / "my_layer.py"
    module.write_text(module.read_text().replace("use_bias=False", "use_bias=True"))
    done = run_pytest(tmp_path, CHECK)
    assert done.returncode == 1 and "beyond the cutoff is felt" in done.stdout, done.stdout


@pytest.mark.slow
def test_all_of_the_written_test_passes(tmp_path) -> None:
    run("Attention", "--out", tmp_path)
    done = run_pytest(tmp_path)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout


def test_nothing_is_overwritten(tmp_path) -> None:
    mine = tmp_path / "test_attention.py"
    mine.write_text("mine")
    with pytest.raises(ValueError, match=re.escape(f"{mine}: already there") + ".*another NAME or another --out"):
        run("attention", "--out", tmp_path)
    assert mine.read_text() == "mine" and [p.name for p in tmp_path.iterdir()] == [mine.name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my-layer", ("my_layer", "MyLayer")),
        ("my_layer", ("my_layer", "MyLayer")),
        ("MyLayer", ("my_layer", "MyLayer")),
        ("mace", ("mace", "Mace")),
        ("RBFMixer2", ("rbf_mixer2", "RBFMixer2")),
    ],
)
def test_a_name_has_one_spelling_as_module_and_class(name: str, expected: tuple[str, str]) -> None:
    assert names(name) == expected


@pytest.mark.parametrize("name", ["", "2fast", "a b", "../up", "a.py", "my--layer", "_x", "é"])
def test_a_name_that_no_module_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a layer; use letters"):
        names(name)


@pytest.mark.parametrize("name", ["class", "jax", "matjax", "linear", "none", "Random", "typing"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="has the name .* already"):
        names(name)


def test_help_has_examples() -> None:
    said = run("--help")
    assert "matjax new-layer my-layer" in said and "--out" in said
