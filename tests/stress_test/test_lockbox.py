"""The lockbox: sealed by hash, refused by name, opened with a reason that is written down."""

from __future__ import annotations

import json
from collections.abc import Callable

import jax
import pytest

from matjax.data import LeaveOut, Random, Sizes
from matjax.stress_test import CompositionRidge, StressTest, stress_test
from matjax.stress_test.lockbox import read_lockbox
from matjax.stress_test.plan import Plan, make_plan
from matjax.types import Dataset
from tests.stress_test.ridge import LABEL, RidgeEnsemble

SIZES = Sizes(max_train=100, max_test=30)
FAMILY = LeaveOut("crystal_system", sizes=SIZES)
SYSTEMS = {"cubic", "hexagonal", "trigonal", "tetragonal", "orthorhombic", "monoclinic", "triclinic"}


@pytest.fixture
def settings(tmp_path) -> StressTest:
    return StressTest(baseline=CompositionRidge(), matched=0, leave_domain_out=0, lockbox=str(tmp_path / "lockbox.json"), sealed=0.3)


@pytest.fixture
def plan(flla: Dataset, settings: StressTest) -> Callable[..., Plan]:
    return lambda *shifts, opened="": make_plan(flla, shifts or (FAMILY,), LABEL, settings, opened, jax.random.key(0))


def families(tmp_path) -> dict:
    return json.loads((tmp_path / "lockbox.json").read_text())["families"]


def test_sealed_domains_are_left_out_and_their_names_are_nowhere(plan, tmp_path):
    found = plan(Random(sizes=SIZES), FAMILY)
    assert found.sealed == {"leave_out(crystal_system)": 2}
    left = {split.domain for split in found.splits}
    assert "random" in left and len(left) == 6
    assert not any(name in (tmp_path / "lockbox.json").read_text() for name in SYSTEMS)
    with pytest.raises(ValueError, match="is sealed in"):
        plan(LeaveOut("crystal_system", only=tuple(SYSTEMS - left), sizes=SIZES))


def test_what_is_sealed_does_not_depend_on_what_is_asked_for_first(plan, tmp_path):
    left = {split.domain for split in plan().splits}
    first = families(tmp_path)["leave_out(crystal_system)"]["sealed"]
    (tmp_path / "lockbox.json").unlink()
    assert plan(LeaveOut("crystal_system", only=min(left), sizes=SIZES)).sealed == {}
    assert families(tmp_path)["leave_out(crystal_system)"]["sealed"] == first and len(first) == 2


def test_every_opening_is_written_down(plan, tmp_path):
    assert len(plan(opened="release 1.0").splits) == 7
    plan(opened="a second look")
    openings = json.loads((tmp_path / "lockbox.json").read_text())["openings"]
    assert [o["reason"] for o in openings] == ["release 1.0", "a second look"]
    assert all(o["n"] == 2 and o["date"].startswith("20") for o in openings)
    with pytest.raises(ValueError, match="needs a reason"):
        plan(opened="  ")


def test_rows_say_which_domain_was_sealed(flla: Dataset, plan, settings: StressTest):
    sealed = min(SYSTEMS - {split.domain for split in plan().splits})
    shift = LeaveOut("crystal_system", only=sealed, sizes=SIZES)
    report = stress_test(RidgeEnsemble(), flla, [shift], settings=settings, open_lockbox="once", key=jax.random.key(0))
    assert [row["lockbox"] for row in report.rows] == [True] and not report.sealed


def test_errors_teach(plan, flla: Dataset, tmp_path):
    with pytest.raises(ValueError, match="no lockbox to open"):
        make_plan(flla, [FAMILY], LABEL, StressTest(), "why", jax.random.key(0))
    plan()
    path = tmp_path / "lockbox.json"
    with pytest.raises(ValueError, match=r"seals 0\.3 of each family, not 0\.5"):
        read_lockbox(path, data=json.loads(path.read_text())["data"], share=0.5)
    with pytest.raises(ValueError, match="belongs to one data set"):
        read_lockbox(path, data="other", share=0.3)
    path.write_text("{")
    with pytest.raises(ValueError, match="is no lockbox"):
        read_lockbox(path, data="other", share=0.3)
    with pytest.raises(ValueError, match="between 0 and 1"):
        read_lockbox(path, data="other", share=1.0)
