"""Figures of shift: the latent map, the shift score inside and outside, and the certificate of every split."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from matjax.report.run import Case, Pair, Run
from matjax.report.style import CLASSES, INK, INSIDE, MAP, MUTED, OUTSIDE, VECTOR, note, panel
from matjax.stress_test.certificate import EXTRAPOLATIVE_BEYOND, INTERPOLATIVE_AUC, INTERPOLATIVE_BEYOND

CERTIFICATE = {
    "two_sample_auc": "two-sample AUC",
    "beyond_p99": "beyond the 99th percentile",
    "label_shift": "label shift",
    "similarity": "similarity",
}


THRESHOLDS = {"two_sample_auc": (INTERPOLATIVE_AUC,), "beyond_p99": (INTERPOLATIVE_BEYOND, EXTRAPOLATIVE_BEYOND)}


def principal_axes(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two principal axes of standardised features.

    Args:
      features: Latent features of inside crystals [n, n_feature].

    Returns:
      center [n_feature], scale [n_feature], axes [n_feature, 2] and the share of variance of each axis [2].
    """
    center, scale = features.mean(0), features.std(0)
    scale = np.where(scale > 1e-12 * max(float(scale.max()), 1e-300), scale, 1.0)
    _, singular, rows = np.linalg.svd((features - center) / scale, full_matrices=False)
    variance = singular**2
    return center, scale, rows[:2].T, variance[:2] / max(float(variance.sum()), 1e-300)


def latent_map(pair: Pair, title: str) -> Figure | None:
    """Latent features on the two principal axes of the inside, coloured by shift score; outside crystals outlined."""
    inside, outside = pair.inside, pair.outside
    if inside.features is None or outside.features is None or inside.features.shape[1] < 2 or len(inside) < 3:
        return None
    center, scale, axes_2d, share = principal_axes(inside.features.astype(np.float64))
    scores = [part.score if part.score is not None else np.zeros(len(part)) for part in (inside, outside)]
    low, high = np.percentile(np.concatenate(scores), [2, 98])
    colour = ScalarMappable(Normalize(low, high if high > low else low + 1), MAP)
    figure, axes = panel((3.0, 2.6))
    as_image = len(inside) + len(outside) > VECTOR
    for part, score, edge, size in ((inside, scores[0], "none", 7), (outside, scores[1], INK, 14)):
        x, y = ((np.asarray(part.features, np.float64) - center) / scale @ axes_2d).T
        axes.scatter(x, y, size, color=colour.to_rgba(score), edgecolors=edge, linewidths=0.5, rasterized=as_image)
    axes.set(xlabel=f"axis 1 ({share[0]:.0%} of variance)", ylabel=f"axis 2 ({share[1]:.0%})", xticks=[], yticks=[])
    axes.set_title(title)
    if inside.score is not None:
        bar = figure.colorbar(colour, ax=axes, shrink=0.75, aspect=22, pad=0.02)
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.set_label("shift score")
    return figure


def score_histogram(run: Run, case: Case, pair: Pair) -> Figure | None:
    """Distribution of the shift score inside and outside, with the threshold of the flag."""
    inside, outside = pair.inside.score, pair.outside.score
    if inside is None or outside is None:
        return None
    figure, axes = panel((3.0, 2.3))
    both = np.concatenate([inside, outside])
    edges = np.linspace(both.min(), max(float(np.percentile(both, 99.5)), both.min() + 1e-12), 31)
    for i, (name, score, colour) in enumerate((("inside", inside, INSIDE), ("outside", outside, OUTSIDE))):
        density = np.histogram(np.minimum(score, edges[-1]), edges)[0] / len(score)
        axes.stairs(density, edges, fill=True, color=colour, alpha=0.25)
        axes.stairs(density, edges, color=colour, lw=1.3)
        note(axes, 0.24 * i, 1.02, name, colour, va="bottom")
    threshold = flag_threshold(pair)
    if threshold is not None:
        axes.axvline(threshold, color=MUTED, lw=1, ls="--")
    area = case.value(run.reference, "auroc_domain")
    if area is not None:
        note(axes, 1, 1.02, f"AUROC {area:.2f}", MUTED, ha="right", va="bottom")
    axes.set(xlabel="shift score", ylabel="share of crystals", xlim=(edges[0], edges[-1]), ylim=(0, None))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    axes.set_title(case.short, pad=16)
    return figure


def flag_threshold(pair: Pair) -> float | None:
    """The score above which crystals are flagged; None if flags are absent or follow more than the score."""
    known = [part for part in (pair.inside, pair.outside) if part.flag is not None and part.score is not None]
    if not known:
        return None
    score = np.concatenate([np.asarray(part.score) for part in known])
    flag = np.concatenate([np.asarray(part.flag, bool) for part in known])
    if not flag.any() or flag.all() or score[~flag].max() > score[flag].min():
        return None
    return float((score[~flag].max() + score[flag].min()) / 2)


def certificate(run: Run, field: str) -> Figure | None:
    """One measure of the certificate for every case, coloured by the class that the split was given."""
    values = [case.value(run.reference, field) for case in run.cases]
    if all(value is None for value in values):
        return None
    figure, axes = panel((3.0, 0.75 + 0.24 * len(run.cases)))
    for y, (case, value) in enumerate(zip(run.cases, values, strict=True)):
        if value is not None:
            kind = next((row["certificate"] for row in case.of(run.reference) if row.get("certificate")), "")
            axes.scatter(value, y, 42, color=CLASSES.get(kind, MUTED), zorder=3)
            axes.text(1.02, y, f"{value:.2f}", transform=axes.get_yaxis_transform(), va="center", color=MUTED, fontsize=8)
    known = [value for value in values if value is not None]
    axes.set_xlim(0.4 if field == "two_sample_auc" and min(known) > 0.4 else 0.0, max(1.0, *known) * 1.1)
    for threshold in THRESHOLDS.get(field, ()):
        axes.axvline(threshold, color=MUTED, lw=0.9, ls="--", zorder=1)
    axes.set_ylim(len(run.cases) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.set_yticks(range(len(run.cases)), [case.short for case in run.cases])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_title(CERTIFICATE[field])
    return figure
