"""What the figures draw, against numbers written out again."""

from typing import Any

import numpy as np
import pytest

from matjax.report import figures, read_run
from matjax.report.error_figures import element_errors, parity_limits
from matjax.report.run import Pair, Part
from matjax.report.shift_figures import flag_threshold, principal_axes
from matjax.report.style import inline, to_svg


def test_names(run_folder, rows):
    drawn = figures(read_run(run_folder(rows)))
    assert {"overview-error", "overview-coverage", "elements-inside", "certificate-similarity", "parity-1", "score-3"} <= set(drawn)


@pytest.mark.parametrize(
    ("absent", "n_fewer"), [("score", 3), ("features", 3), ("total_std", 3), ("elements", 2), ("flag", 0), ("baseline", 0), ("index", 0)]
)
def test_what_was_not_stored_is_not_drawn(run_folder, rows, absent, n_fewer):
    folder = run_folder(rows)
    for row in rows:
        arrays: dict[str, Any] = dict(np.load(folder / row["predictions"]))
        np.savez(folder / row["predictions"], **{name: array for name, array in arrays.items() if not name.endswith(f"side_{absent}")})
    assert len(figures(read_run(folder))) == 24 - n_fewer


def test_degradation_draws_the_rows(run_folder, rows):
    (axes,) = figures(read_run(run_folder(rows)))["overview-error"].axes
    ends = [tuple(line.get_xdata()) for line in axes.lines]  # type: ignore[arg-type]
    expected = [(row["mae_in"], row["mae_out"]) for row in rows] + [(row["baseline_in"], row["baseline_out"]) for row in rows[::2]]
    assert sorted(ends) == sorted(expected)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ERM", "GroupDRO", "baseline"] * 3


def test_element_errors_by_loop():
    rng = np.random.default_rng(0)
    parts = [Part(rng.normal(size=n), rng.normal(size=n), elements=rng.random((n, 119)) < 0.05) for n in (30, 20)]
    error, count = element_errors(parts)
    for z in range(119):
        values = [part.error[i] for part in parts for i in range(len(part)) if part.elements is not None and part.elements[i, z]]
        assert count[z] == len(values)
        assert np.isnan(error[z]) if not values else error[z] == pytest.approx(np.mean(values))


def test_principal_axes_against_the_covariance():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) * np.array([1, 5, 1, 1, 1, 0.1])
    features[:, 3] = 7.0
    center, scale, axes, share = principal_axes(features)
    values, vectors = np.linalg.eigh(np.cov(((features - center) / scale).T))
    np.testing.assert_allclose(share, values[::-1][:2] / values.sum(), rtol=1e-10)
    np.testing.assert_allclose(np.abs(axes.T @ vectors[:, ::-1][:, :2]), np.eye(2), atol=1e-8)


def test_flag_threshold_separates_or_is_none():
    part = lambda score, flag: Part(np.zeros(len(score)), np.zeros(len(score)), score=np.array(score), flag=np.array(flag))
    below, above = part([0.1, 0.5], [False, False]), part([0.9, 2.0], [True, True])
    assert flag_threshold(Pair(below, above)) == pytest.approx(0.7)
    assert flag_threshold(Pair(below, part([0.2, 2.0], [True, True]))) is None
    assert flag_threshold(Pair(below, below)) is None


def test_parity_limits_hold_every_point():
    pair = Pair(Part(np.array([1.0, 2.0]), np.array([0.0, 2.5])), Part(np.array([-3.0]), np.array([4.0])))
    low, high = parity_limits([pair])
    assert low < -3 and high > 4
    still = Part(np.array([1.0]), np.array([1.0]))
    low, high = parity_limits([Pair(still, still)])
    assert low < 1 < high


def test_inline_follows_the_page(run_folder, rows):
    svg = to_svg(figures(read_run(run_folder(rows)))["reliability-1"])
    themed = inline(svg, "here", "what it shows")
    assert svg.startswith("<?xml") and "currentColor" not in svg
    assert themed.startswith('<svg role="img" aria-label="what it shows"')
    assert "currentColor" in themed and "var(--muted)" in themed and "<style" not in themed
    assert 'id="here-' in themed
