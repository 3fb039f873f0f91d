"""`matjax stress-test`, `demo` and `report`: settings, folders, errors, and one small run from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from matjax.cli.main import app, main
from matjax.cli.presets import preset
from matjax.cli.session import claim_folder
from matjax.stress_test import StressTestConfig
from matjax.toml import from_toml, to_toml

TINY = (
    "learner.model.irreps=8x0e+8x1o learner.model.n_layer=1 learner.n_epoch=1 sizes.max_train=60 sizes.validation=20.0 "
    "sizes.calibration=40.0 sizes.test_inside=40.0 sizes.max_test=40"
).split()


def matjax(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user types it, in a process of its own."""
    command = [sys.executable, "-m", "matjax.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, "COLUMNS": "120"}, timeout=300)


@pytest.mark.parametrize("size", ["quick", "default", "full"])
def test_the_printed_settings_are_the_settings(size: str) -> None:
    settings = preset(size, "flla", 3938)
    assert from_toml(to_toml(settings), StressTestConfig) == settings


def test_small_sets_keep_enough_calibration_crystals() -> None:
    for n in (150, 300, 1000, 100_000):
        for size in ("quick", "default"):
            sizes = preset(size, "mine.extxyz", n).sizes
            assert n * sizes.calibration >= 24
            assert sizes.validation + sizes.calibration + sizes.test_inside < 0.6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "learner.n_epch=3"], "did you mean 'n_epoch'"),
        (["--data", "nowhere.extxyz"], "nowhere.extxyz"),
        (["--data", "fla"], "did you mean 'flla'"),
        (["--set", "learner.optimizer.kind=adam"], "adamw"),
        (["--quick", "--full"], "choose one"),
        (["--set", "shifts=[{kind='leave_out', column='anion', only='nitrid'}]"], "did you mean 'nitride'"),
        (["--set", "sizes.calibration=5.0"], "calibration crystals"),
        (["--set", "learner.model.charge=true"], "use GraphLearner.fit in Python"),
        (["--label", "gap"], "formation_energy_per_atom"),
        (["--open-lockbox", "why"], "there is no lockbox to open"),
        (["--report"], "no run folder at run"),
        (["--set", "oracle=true"], "without a search"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: list[str], said: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["matjax", "stress-test", *arguments, "--out", "run"])
    monkeypatch.setattr("matjax.cli.main.prepare_environment", lambda: None)  # what this process was started with stays
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert said in told and len(told.strip().splitlines()) == 1


def test_a_process_of_its_own_says_the_same(tmp_path: Path) -> None:
    done = matjax("stress-test", "--set", "learner.n_epch=3", "--out", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'n_epoch'" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    corrected = matjax("stress-test", "--set", "learner.n_epoch=0", "--print-config", cwd=tmp_path)
    assert "n_epoch = 0" in corrected.stdout


def test_a_folder_of_somebody_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mine = true")
    (tmp_path / "thesis.tex").write_text("dear to me")
    for fresh in (False, True):
        with pytest.raises(ValueError, match="no run of matjax"):
            claim_folder(tmp_path, "a = 1", "key", fresh)
    assert (tmp_path / "thesis.tex").exists()


def test_a_folder_goes_on_with_equal_settings_only(tmp_path: Path) -> None:
    claim_folder(tmp_path, "a = 1", "key", False)
    claim_folder(tmp_path, "a = 2", "key", False)  # nothing was run yet
    (tmp_path / "rows").mkdir()
    (tmp_path / "notes.txt").write_text("the user's")
    claim_folder(tmp_path, "a = 2", "key", False)
    for settings, data in (("a = 1", "key"), ("a = 2", "other")):
        with pytest.raises(ValueError, match="other settings"):
            claim_folder(tmp_path, settings, data, False)
    claim_folder(tmp_path, "a = 1", "key", True)
    assert not (tmp_path / "rows").exists() and (tmp_path / "notes.txt").exists()


def test_help_teaches() -> None:
    for command in ("demo", "stress-test", "train", "predict", "report", "doctor"):
        shown = CliRunner().invoke(app, [command, "--help"])
        assert shown.exit_code == 0 and len(shown.output) > 300


def test_a_report_needs_a_run(tmp_path: Path) -> None:
    done = matjax("report", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2 and "stress_test.json" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_small_run_from_end_to_end(tmp_path: Path) -> None:
    shifts = "shifts=[{kind='random'}, {kind='leave_out', column='anion', only='nitride'}]"
    overrides = [word for pair in [*TINY, shifts] for word in ("--set", pair)]
    done = matjax("stress-test", *overrides, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "run/stress_test.json").read_text())
    assert len(rows) == 6
    assert all(np.isfinite(row["mae_out"]) for row in rows)
    page = (tmp_path / "run/report.html").read_text()
    assert "nitride" in page and "http-equiv" not in page
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["compiles"] <= 8 and record["missing"] == []
    again = matjax("stress-test", *overrides, "--out", "run", cwd=tmp_path)
    assert again.returncode == 0 and "6 of them done before" in again.stdout
