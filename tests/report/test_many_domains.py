"""A run of many domains: one line each, families in the sentences, verdicts over domains."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from matjax.report import figures, read_run, write_report
from matjax.report.verdict import notices, verdict
from tests.report.conftest import make_row


def make_many(gain: float = 0.8, control: bool = False):
    """Eight anion classes and six elements; GroupDRO errs `gain` times as much as ERM."""
    rng, rows = np.random.default_rng(0), [make_row("random", "random", method) for method in ("erm", "group_dro")]
    for shift, n in (("leave_out(anion)", 8), ("leave_element_out", 6)):
        for d in range(n):
            error = 0.2 + 0.05 * d
            for method in ("erm", "group_dro", *(["twin"] if control else [])):
                scale = 1.0 if method == "erm" else gain * np.exp(rng.normal(0, 0.02))
                row = make_row(shift, "nitride", "erm")
                row |= {"domain": f"d{d}", "method": method, "mae_out": error * scale, "matched_ratio": 1.5 + 0.1 * d}
                row |= {"control": "random domain labels", "control_of": "group_dro"} if method == "twin" else {}
                rows.append(row)
    return [{**row, "predictions": None} for row in rows]


def test_sentences_speak_of_families_and_verdicts(run_folder):
    text = " ".join(verdict(read_run(run_folder(make_many()))))
    assert "over 8 domains of anion (2.2× for d7) and 1.74× over 6 domains of element (2.0× for d5); geometric means." in text
    assert "Against ERM outside, GroupDRO is better (0.797 of its error" in text and "over 14 domains)" in text
    assert "equivalent within 3%" in " ".join(verdict(read_run(run_folder(make_many(1.0)))))


def test_controls_are_read_and_are_no_results(run_folder):
    run = read_run(run_folder(make_many(control=True)))
    assert "regularisation, not invariance" in " ".join(verdict(run))
    assert {c.method for c in run.comparisons} == {"group_dro"} and "twin" not in {s.method for s in run.summaries}


def test_one_line_per_domain_and_the_table_folded(run_folder):
    folder = run_folder(make_many())
    drawn = figures(read_run(folder))
    assert "overview-error" not in drawn
    (axes,) = drawn["domains-error"].axes
    assert [t.get_text() for t in axes.get_yticklabels()] == [f"d{d}" for d in range(5, -1, -1)] + [f"d{d}" for d in range(7, -1, -1)]
    page = write_report(folder).read_text()
    assert page.index('id="domains"') < page.index('id="statistics"') < page.index("<details>") and 'id="overview"' not in page
    assert '<span class="verdict-better">better</span>' in page and "The domain is the unit" in page


def test_forest_draws_the_comparisons(run_folder):
    run = read_run(run_folder(make_many()))
    (axes,) = figures(run)["statistics-forest"].axes
    centres = sorted(float(np.asarray(p.get_offsets())[0, 0]) for p in axes.collections if isinstance(p, PathCollection))
    assert centres == pytest.approx(sorted(c.ratio for c in run.comparisons))


def test_twins_across_the_split_are_named_in_red(run_folder):
    rows = make_many()
    rows[2]["duplicates"] = 3
    assert any("atom by atom" in text and "d0 3" in text for text in notices(read_run(run_folder(rows))))
