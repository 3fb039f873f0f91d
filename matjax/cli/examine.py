"""A data set at the doctor's: what it can be used for, and what to look at first."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from matjax.cli.health import Finding
from matjax.data import domain_labels, suggest_shifts
from matjax.data.check import outliers
from matjax.data.domains import UNKNOWN
from matjax.data.hull_fit import hull_fit
from matjax.data.readers.columns import TENSORS
from matjax.data.shifts import LeaveOut, Shift
from matjax.types import Crystal, Dataset

FEWEST = 50  # crystals to learn anything from
MANY_ASIDE = 0.05  # of the records


def examine(dataset: Dataset, hull: Dataset, *, asked: bool = False) -> Iterator[Finding]:
    """Every check of a data set.

    Args:
      dataset: What was read.
      hull: What spans the hull it may be put on.
      asked: Whether the user named the hull: then not fitting on it is a failure.

    Yields:
      One finding per check.
    """
    hull_finding = on_hull(dataset, hull, asked)  # first: a hull that is none is an error
    yield records(dataset)
    yield labels(dataset)
    yield meaning(dataset)
    yield duplicates(dataset)
    yield from far_values(dataset)
    if any(column.dtype.kind == "f" for column in dataset.labels.values() if isinstance(column, np.ndarray)):
        yield from shifts(dataset)
    yield hull_finding


def records(dataset: Dataset) -> Finding:
    """How many records are usable."""
    aside, n = len(dataset.metadata.set_aside), len(dataset)
    said = f"{n:,} usable, {aside:,} set aside" if aside else f"all {n:,} usable"
    advice = "the reasons are listed above" if aside else ""
    if n < FEWEST:
        advice = f"fewer than {FEWEST} crystals: enough to predict, not to train or to stress-test" + (f"; {advice}" if aside else "")
    bad = n < FEWEST or aside > MANY_ASIDE * (n + aside)
    return Finding("records", "warn" if bad else "pass", said, advice, {"usable": n, "set_aside": aside})


def labels(dataset: Dataset) -> Finding:
    """Whether there is something to learn, in a unit that is known."""
    finite = {name: int(sum(bool(np.isfinite(v).all()) for v in column)) for name, column in dataset.labels.items()}
    present = {name: n for name, n in finite.items() if n}
    if not present:
        return Finding(
            "labels", "warn", "none", "crystals without labels can be predicted, not trained on; --targets names a CSV of labels"
        )
    unitless = [name for name in present if not dataset.metadata.units.get(name)]
    said = ", ".join(f"{name} ({n:,})" for name, n in present.items())
    advice = f"unit not stated for {', '.join(unitless)}: --units {shlex.quote(unitless[0])}=UNIT" if unitless else ""
    return Finding("labels", "warn" if unitless else "pass", said, advice, {"labels": finite, "units": dict(dataset.metadata.units)})


def meaning(dataset: Dataset) -> Finding:
    """What the numbers are relative to, and whether anybody said so."""
    meta = dataset.metadata
    facts = {"functional": meta.functional, "reference": meta.reference, "structures": meta.structures}
    said = "; ".join(f"{name} {value}" for name, value in facts.items())
    unknown = [name for name, value in facts.items() if value == "unknown"]
    if not dataset.labels or not unknown:
        return Finding("meaning", "pass", said, values=facts)
    advice = f"{', '.join(unknown)} not stated in the file: a model trained on it cannot tell which other energies it may be compared with"
    return Finding("meaning", "warn", said, advice, facts)


def duplicates(dataset: Dataset) -> Finding:
    """Crystals that occur twice, and whether their labels agree."""
    rows: dict[str, list[int]] = {}
    for row, crystal in enumerate(dataset.crystals):
        rows.setdefault(canonical(crystal), []).append(row)
    twins = [group for group in rows.values() if len(group) > 1]
    extra = sum(len(group) - 1 for group in twins)
    if not twins:
        return Finding("duplicates", "pass", "no crystal occurs twice", values={"duplicates": 0, "conflicts": 0})
    conflicts = [group for group in twins if any(_differ(column, group) for column in dataset.labels.values())]
    first = (conflicts or twins)[0]
    said = (
        f"{extra:,} crystals occur again ({' = '.join(dataset.ids[i] for i in first[:3])})"
        + f", {len(conflicts)} with other labels" * bool(conflicts)
    )
    advice = "twins on both sides of a split make a test look better than it is" if not conflicts else "decide which label is right"
    return Finding("duplicates", "warn", said, advice, {"duplicates": extra, "conflicts": len(conflicts)})


def canonical(crystal: Crystal) -> str:
    """A key that does not depend on the order of atoms, their images, or rounding below 0.001 Å."""
    frac = crystal.positions @ np.linalg.inv(crystal.lattice)
    frac = np.where(crystal.pbc, np.round(frac - np.floor(frac), 4) % 1.0, np.round(frac, 4)) + 0.0
    order = np.lexsort((*frac.T, crystal.numbers))
    return repr((np.round(crystal.lattice, 3) + 0.0).tolist()) + repr(crystal.numbers[order].tolist()) + repr(frac[order].tolist())


def _differ(column: object, rows: list[int]) -> bool:
    """Whether a scalar label of rows that are the same crystal differs by more than rounding."""
    if not isinstance(column, np.ndarray) or column.ndim != 1:
        return False
    values = column[rows][np.isfinite(column[rows])]
    return len(values) > 1 and float(np.ptp(values)) > 1e-3 * max(1.0, float(np.abs(values).max()))


def far_values(dataset: Dataset) -> Iterator[Finding]:
    """Labels with values far from the rest."""
    for name in dataset.labels:
        far = np.zeros(0, int) if name in TENSORS else outliers(dataset, name)
        if len(far):
            listed = ", ".join(f"{dataset.ids[i]} ({dataset.labels[name][i]:.4g})" for i in far[:3])
            said = f"{len(far)} values of {name} lie far from the rest: {listed}" + ", ..." * (len(far) > 3)
            yield Finding(
                "outliers", "warn", said, "look at these first: a unit, a spin state, a run that did not converge", {name: len(far)}
            )


def shifts(dataset: Dataset) -> Iterator[Finding]:
    """The shifts that a stress test would pick, the sizes of their parts, and the domains that are too small."""
    suggested, _ = suggest_shifts(dataset)
    for shift in suggested:
        yield _shift(dataset, shift)


def _shift(dataset: Dataset, shift: Shift) -> Finding:
    split = next(iter(shift(dataset, jax.random.key(0))), None)
    if split is None:
        return Finding("shift", "warn", f"{shift.describe()}: no domain is large enough", "leave this shift out, or add crystals")
    sizes = {"train": len(split.train), "calibration": len(split.calibration), "outside": len(split.test_outside)}
    said = f"{shift.describe()}: {sizes['train']:,} to train on, {sizes['calibration']:,} to calibrate, {sizes['outside']:,} outside"
    small = _small(dataset, shift)
    advice = f"too small to be held out on their own (fewer than {small[0]}): {shortened(small[1])}" if small[1] else ""
    few = sizes["train"] < FEWEST or sizes["calibration"] < 20
    if few:
        advice = "; ".join(filter(None, ["few crystals: intervals will be wide and errors noisy", advice]))
    return Finding("shift", "warn" if few else "pass", said, advice, {"shift": split.shift, "domain": split.domain, **sizes})


def _small(dataset: Dataset, shift: Shift) -> tuple[int, list[str]]:
    """(fewest crystals of a domain, domains of the shift's column that have fewer)."""
    if not isinstance(shift, LeaveOut) or shift.above is not None:
        return 0, []
    counts = Counter(domain_labels(dataset, shift.column).tolist())
    return shift.min_size, [f"{domain} {n}" for domain, n in counts.most_common() if n < shift.min_size and domain != UNKNOWN]


def shortened(items: Sequence[str], n: int = 8) -> str:
    """The first items, and how many more there are."""
    return ", ".join(items[:n]) + (f", ... {len(items) - n} more" if len(items) > n else "")


def on_hull(dataset: Dataset, hull: Dataset, asked: bool) -> Finding:
    """Whether the energies can be put on a hull."""
    fit = hull_fit(dataset, hull)
    no = "fail" if asked else "warn" if fit.label or "energy" in dataset.labels else "pass"  # without energies no hull is expected
    status = {"yes": "pass", "unsure": "warn", "no": no}[fit.verdict]
    said = f"on the hull of {hull.metadata.name}: {fit.verdict}; {'; '.join(fit.reasons)}"
    values = {"hull": hull.metadata.name, "verdict": fit.verdict, "n_shared": fit.n_shared, "offset": fit.offset, "spread": fit.spread}
    return Finding("hull", status, said, values={**values, "groups": fit.groups, "n_outside": fit.n_outside})  # type: ignore[arg-type]
