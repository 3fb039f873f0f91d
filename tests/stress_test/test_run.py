"""The stress test as a whole, on real crystals and a learner that fits in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from matjax.data import LeaveElementOut, LeaveOut, Random, Sizes
from matjax.stress_test import CompositionRidge, StressTest, stress_test
from matjax.stress_test.plan import labelled
from matjax.types import Dataset
from tests.stress_test.ridge import LABEL, RidgeEnsemble

SIZES = Sizes(max_train=300, max_test=100)
SHIFTS = (Random(sizes=SIZES), LeaveOut("anion", only="nitride", sizes=SIZES))
SETTINGS = StressTest(baseline=CompositionRidge())
METHODS = {"ERM": RidgeEnsemble(), "stiff": RidgeEnsemble(strength=100.0)}
FIELDS = (
    "shift domain method seed n_train n_test mae_in mae_out matched_ratio coverage_in coverage_out level auroc_domain auroc_error "
    "coverage_out_ldo certificate baseline_in second_baseline_out information selection unit seconds"
).split()


@pytest.fixture(scope="module")
def finished(flla: Dataset, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("run")
    events: list[dict] = []
    report = stress_test(METHODS, flla, SHIFTS, settings=SETTINGS, run_dir=folder, report=events.append, key=jax.random.key(0))
    return folder, report, events


def test_a_row_for_every_shift_and_method_with_every_field(finished) -> None:
    _, report, events = finished
    assert [(r["domain"], r["method"]) for r in report.rows] == [(d, m) for d in ("random", "nitride") for m in METHODS]
    assert not report.missing
    assert all(field in row for row in report.rows for field in FIELDS)
    assert {row["n_train"] for row in report.rows} == {300}
    json.dumps(report.rows, allow_nan=False)
    assert events[0]["event"] == "plan" and len(events[0]["jobs"]) == 4
    assert sum(e["event"] == "epoch" for e in events) == events[0]["fits"] == 4 + 2 + 1


def test_second_fits_are_budgeted_to_the_first_method(finished) -> None:
    _, report, _ = finished
    row = {(r["domain"], r["method"]): r for r in report.rows}
    assert row["nitride", "ERM"]["matched_ratio"] > 1
    assert row["nitride", "stiff"]["matched_ratio"] is None
    assert row["random", "ERM"]["matched_ratio"] is None
    assert row["random", "ERM"]["coverage_out_ldo"] is not None
    assert row["random", "stiff"]["coverage_out_ldo"] is None


def test_rows_follow_from_the_predictions_on_disk(finished) -> None:
    folder, report, _ = finished
    for row in report.rows:
        arrays = np.load(folder / row["predictions"])
        for side, short in (("inside", "in"), ("outside", "out")):
            error = arrays[f"{side}_mean"] - arrays[f"{side}_target"]
            assert row[f"mae_{short}"] == pytest.approx(np.abs(error).mean())
            assert row[f"coverage_{short}"] == pytest.approx(np.mean(np.abs(error) <= arrays[f"{side}_half_width"]))


def test_a_finished_row_is_not_run_again(finished, flla: Dataset) -> None:
    folder, report, _ = finished
    broken = {name: RidgeEnsemble(strength=m.strength, fails=True) for name, m in METHODS.items()}
    again = stress_test(broken, flla, SHIFTS, settings=SETTINGS, run_dir=folder, key=jax.random.key(0))
    assert again.rows == report.rows


def test_an_interrupted_run_goes_on_to_the_same_rows(finished, flla: Dataset, tmp_path: Path) -> None:
    def interrupt(event: dict) -> None:
        if event["event"] == "row":
            raise KeyboardInterrupt

    arguments = dict(settings=SETTINGS, run_dir=tmp_path, workers=1, key=jax.random.key(0))
    with pytest.raises(KeyboardInterrupt):
        stress_test(METHODS, flla, SHIFTS, report=interrupt, **arguments)
    kept = len(list((tmp_path / "rows").glob("*.json")))
    assert 0 < kept < 4
    resumed = stress_test(METHODS, flla, SHIFTS, **arguments)
    for mine, theirs in zip(resumed.rows, finished[1].rows, strict=True):
        for name in mine.keys() - {"seconds"}:  # the ridges' BLAS sums in another order with another number of threads
            close = pytest.approx(theirs[name], rel=1e-9) if isinstance(theirs[name], float) else theirs[name]
            assert mine[name] == close, name


def test_a_failing_method_is_named_and_the_others_finish(flla: Dataset) -> None:
    methods = {"ERM": RidgeEnsemble(), "bad": RidgeEnsemble(fails=True)}
    report = stress_test(methods, flla, SHIFTS[:1], settings=SETTINGS, key=jax.random.key(0))
    assert [row["method"] for row in report.rows] == ["ERM"]
    (name, reason) = report.missing[0]
    assert "bad" in name and "skipped" in reason


def test_too_few_domains_leave_a_gap_with_its_reason(flla: Dataset) -> None:
    oxides = flla.select(np.array([8 in c.numbers and 9 not in c.numbers for c in flla.crystals]))
    report = stress_test(RidgeEnsemble(), oxides, SHIFTS[:1], settings=SETTINGS, key=jax.random.key(0))
    (row,) = report.rows
    assert row["coverage_out_ldo"] is None and "domains" in row["why"]["coverage_out_ldo"]


def test_elements_are_dealt_when_an_element_is_held_out(flla: Dataset) -> None:
    report = stress_test(RidgeEnsemble(), flla, [LeaveElementOut("Fe", sizes=SIZES)], settings=SETTINGS, key=jax.random.key(0))
    assert report.rows[0]["coverage_out_ldo"] is not None


def test_crystals_without_the_label_take_no_part(flla: Dataset) -> None:
    target = np.array(flla.labels[LABEL])
    target[::2] = np.nan
    holes = Dataset(flla.crystals, flla.ids, {LABEL: target}, flla.domains, flla.metadata)
    assert len(labelled(holes, LABEL)) == len(flla) // 2
    with pytest.raises(ValueError, match="absent"):
        labelled(Dataset(flla.crystals, flla.ids, {LABEL: np.full(len(flla), np.nan)}), LABEL)


def test_what_cannot_be_measured_is_refused_before_anything_is_trained(flla: Dataset) -> None:
    broken = RidgeEnsemble(fails=True)

    def refused(dataset: Dataset, shift) -> str:
        with pytest.raises(ValueError) as found:
            stress_test(broken, dataset, [shift], settings=SETTINGS, key=jax.random.key(0))
        return str(found.value)

    few = LeaveOut("anion", only="carbide", min_size=1, sizes=Sizes(max_train=100, target=0.0, max_test=5))
    assert "5 crystals in test_outside; at least 10" in refused(flla, few)
    assert "10 calibration crystals" in refused(flla, Random(sizes=Sizes(max_train=100, calibration=10.0)))
    assert "10 crystals in train; at least 20" in refused(flla, Random(sizes=Sizes(max_train=10)))
    same = Dataset(flla.crystals, flla.ids, {LABEL: np.ones(len(flla))}, flla.domains, flla.metadata)
    assert "all 300 training labels" in refused(same, SHIFTS[0])
    with pytest.raises(ValueError, match="no shift yields a split"):
        stress_test(broken, flla, [], settings=SETTINGS, key=jax.random.key(0))


def test_crystals_that_are_in_both_are_counted(flla: Dataset) -> None:
    """A copy of an oxide under another name, said to be of another laboratory."""
    lab = np.array(["here"] * len(flla))
    copies = np.arange(40)
    crystals, labels = flla.crystals + tuple(flla.crystals[i] for i in copies), np.r_[flla.labels[LABEL], flla.labels[LABEL][copies]]
    both = Dataset(
        crystals, flla.ids + tuple(f"copy {i}" for i in copies), {LABEL: labels}, {"lab": np.r_[lab, ["there"] * 40]}, flla.metadata
    )
    shift = LeaveOut("lab", only="there", min_size=20, sizes=Sizes(target=0.0, validation=0.01, calibration=0.02, test_inside=0.02))
    (row,) = stress_test(
        RidgeEnsemble(), both, [shift], settings=StressTest(baseline=CompositionRidge(), matched=0), key=jax.random.key(0)
    ).rows
    assert row["duplicates"] > 30 and row["same_composition"] > 0.8
