"""The table of columns in the documentation is that of the rows."""

import re
from pathlib import Path

import jax

from matjax.data import LeaveOut, Sizes
from matjax.stress_test import CompositionRidge, StressTest, stress_test
from tests.stress_test.ridge import RidgeEnsemble

PAGE = Path(__file__).parents[2] / "docs/stress-testing.md"


def documented() -> set[str]:
    """Names in the first column of the table of columns."""
    section = PAGE.read_text(encoding="utf-8").partition("## Columns of")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_rows_have_the_documented_columns_and_no_others(flla, tmp_path):
    shifts = [LeaveOut("anion", only="nitride", sizes=Sizes(max_train=100, max_test=40))]
    settings = StressTest(baseline=CompositionRidge(), second_baseline=CompositionRidge(), few_labels=(10, 500))
    report = stress_test(RidgeEnsemble(), flla, shifts, settings=settings, run_dir=tmp_path, key=jax.random.key(0))
    first, corrected = report.rows
    assert set(first) == set(corrected) == documented()
    assert (first["information"], first["n_label"]) == ("L0", 0)
    assert (corrected["method"], corrected["information"], corrected["n_label"]) == ("learner, 10 labels", "L2", 10)
    assert corrected["n_test"] == first["n_test"] - 10 and corrected["coverage_out"] is None
    assert "do not allow 500 labels" in first["why"]["n_label"]
