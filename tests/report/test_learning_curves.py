"""Learning curves show what the history says."""

import json

import pytest

from matjax.report.learning_curves import learning_curves, write_learning_curves

ROWS = [
    {"fit": fit, "epoch": e, "risk": r / e, "validation": v / e + 0.01 * (e - 3) ** 2, "unit": "eV/atom"}
    for fit, r, v in (("ensemble", 1.0, 0.5), ("leave-domain-out", 1.2, 0.7))
    for e in range(1, 8)
]


def test_every_fit_has_a_line_with_its_numbers_and_its_best_epoch() -> None:
    figure = learning_curves(ROWS)
    risk, error = figure.axes
    assert [line.get_label() for line in risk.lines] == ["ensemble", "leave-domain-out"]
    for axes, name in ((risk, "risk"), (error, "validation")):
        lines = [line for line in axes.lines if len(line.get_xdata()) == 7]
        for line, fit in zip(lines, ("ensemble", "leave-domain-out"), strict=True):
            assert list(line.get_ydata()) == [row[name] for row in ROWS if row["fit"] == fit]
        assert axes.get_yscale() == "log"
    marks = [line for line in error.lines if len(line.get_xdata()) == 1]
    best = min((row for row in ROWS if row["fit"] == "ensemble"), key=lambda row: row["validation"])
    assert (list(marks[0].get_xdata())[0], list(marks[0].get_ydata())[0]) == (best["epoch"], best["validation"])
    assert error.get_ylabel() == "validation error (eV/atom)"


def test_a_negative_risk_has_a_linear_axis() -> None:
    assert learning_curves([{**row, "risk": -row["risk"]} for row in ROWS]).axes[0].get_yscale() == "linear"


def test_is_written_beside_the_history(tmp_path) -> None:
    with pytest.raises(ValueError, match="no history.jsonl"):
        write_learning_curves(tmp_path)
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = write_learning_curves(tmp_path)
    assert path.read_text().startswith("<?xml") or "<svg" in path.read_text()
    (tmp_path / "history.jsonl").write_text("")
    with pytest.raises(ValueError, match="without a finished epoch"):
        write_learning_curves(tmp_path)
