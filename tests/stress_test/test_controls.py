"""Controls: who sees domains, what a twin is, and what their rows say."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from matjax.data import domain_labels
from matjax.nn import Equivariant
from matjax.risk import DANN, ERM, GroupDRO, LowDensity, Risk, VREx
from matjax.stress_test import Method, StressTestConfig
from matjax.stress_test.controls import ONE_HOT, RANDOM, RANDOM_DOMAIN, read_controls, sees_domains, twins, with_random_domains
from matjax.toml import from_toml
from matjax.training import GraphLearner
from matjax.types import Dataset
from tests.stress_test.test_comparison import make_rows


@pytest.mark.parametrize("risk", [Risk(GroupDRO()), Risk(penalties=(DANN(0.5),))])
def test_robust_risks_see_domains(risk):
    assert sees_domains(risk)


@pytest.mark.parametrize("risk", [Risk(ERM()), Risk(penalties=(LowDensity(0.5),)), Risk(VREx(beta=0.0))])
def test_plain_risks_do_not(risk):
    assert not sees_domains(risk)


def test_random_domains_keep_sizes_and_forget_crystals(flla: Dataset):
    data = with_random_domains(flla, "anion", jax.random.key(0))
    real, random = domain_labels(flla, "anion"), np.asarray(data.domains[RANDOM_DOMAIN])
    assert sorted(real) == sorted(random)
    share = np.mean(real == random)
    assert share == pytest.approx(sum(np.mean(real == d) ** 2 for d in np.unique(real)), abs=0.03)  # what chance gives
    with pytest.raises(ValueError, match="of their own"):
        with_random_domains(data, "anion", jax.random.key(0))


def test_twins_differ_in_nothing_else():
    shared = GraphLearner(model=Equivariant(irreps="8x0e", n_layer=1), domain="anion")
    learners = {m.title: m.learner(shared) for m in (Method("ERM"), Method("GroupDRO", Risk(GroupDRO())))}
    found = {(name, kind): twin for name, kind, twin in twins(learners)}
    assert set(found) == {("ERM", ONE_HOT), ("GroupDRO", RANDOM)}
    assert found["GroupDRO", RANDOM] == learners["GroupDRO"].__class__(**{**vars(learners["GroupDRO"]), "domain": RANDOM_DOMAIN})
    assert not found["ERM", ONE_HOT].model.physical and found["ERM", ONE_HOT].risk == learners["ERM"].risk


def test_a_contest_has_its_controls_search_and_oracle(flla: Dataset):
    text = """
    controls = true
    oracle = true
    learner = {kind = "graph_learner", model = {kind = "equivariant", irreps = "8x0e", n_layer = 1}}
    search = {draws = 3, shared = [{path = "optimizer.learning_rate", low = 1e-3, high = 1e-1}]}
    [[methods]]
    title = "ERM"
    [[methods]]
    title = "GroupDRO"
    risk = {base = {kind = "group_dro"}}
    ranges = [{path = "risk.base.step_size", low = 1e-3, high = 1.0, off = 0.0}]
    """
    config = from_toml(text, StressTestConfig)
    contest = config.contest(flla)
    names = ["ERM", "GroupDRO", f"ERM, {ONE_HOT}", f"GroupDRO, {RANDOM}"]
    assert list(contest.learners) == [*names, "ERM, oracle", "GroupDRO, oracle"]
    assert {name: c.of for name, c in contest.controls.items()} == {names[2]: "ERM", names[3]: "GroupDRO"}
    assert contest.learners[names[3]].ranges == contest.learners["GroupDRO"].ranges != ()
    assert RANDOM_DOMAIN in contest.dataset.domains
    with pytest.raises(ValueError, match="without a search"):
        StressTestConfig(oracle=True)


def control_rows(method: float, twin: float, kind: str, of: str, shift: str = "leave_out(anion)"):
    rows = make_rows({"m": (method, 0.02), "twin": (twin, 0.02)}, shift=shift)
    return [{**r, "control": kind if r["method"] == "twin" else None, "control_of": of if r["method"] == "twin" else None} for r in rows]


def test_what_the_controls_say():
    (text,) = read_controls(control_rows(-0.2, -0.2, RANDOM, "m"), "ERM")
    assert "regularisation, not invariance" in text
    (text,) = read_controls(control_rows(-0.2, 0.0, RANDOM, "m"), "ERM")
    assert "more than random ones" in text and "better" in text
    assert read_controls(control_rows(0.0, 0.0, RANDOM, "m"), "ERM") == ()
    (text,) = read_controls(control_rows(0.0, 0.4, ONE_HOT, "ERM", "leave_element_out"), "ERM")
    assert "as they must" in text and "1.4" in text or "1.5" in text
    (text,) = read_controls(control_rows(0.0, 0.0, ONE_HOT, "ERM", "leave_element_out"), "ERM")
    assert "does not pass its positive control" in text
    assert read_controls(control_rows(0.0, 0.4, ONE_HOT, "ERM"), "ERM") == ()  # says something of elements held out only
