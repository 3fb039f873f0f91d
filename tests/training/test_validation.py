"""Which validation error chooses the epoch, against loops over crystals with a stand-in for the ensemble."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from matjax.graph import Shape, to_graph
from matjax.training.metrics import NAME, read_metrics
from matjax.training.validation import check_choice, validation_errors
from matjax.types import Crystal, Output

SCALE = 0.5


@pytest.fixture(scope="module")
def task():
    """Eight crystals of three domains; every other one has forces."""
    random = np.random.default_rng(0)
    crystals = [Crystal(9 * np.eye(3), 1.3 * np.arange(n)[:, None] * np.ones((1, 3)), np.full(n, 26)) for n in (1, 2, 3, 2, 4, 1, 2, 3)]
    graphs = [
        to_graph(
            c,
            cutoff=3.0,
            energy=float(random.normal()),
            forces=random.normal(size=(len(c), 3)) if i % 2 else np.full((len(c), 3), np.nan),
            domain=(0, 0, 0, 0, 1, 1, 2, 2)[i],
            index=i,
        )
        for i, c in enumerate(crystals)
    ]
    return SimpleNamespace(validation=graphs, shape=Shape(9, 64, 5), constants={"scale": np.float32(SCALE)}, derivatives=("forces",))


def said(graph):
    """Two members that say 0.1 and 0.3 per crystal, and a force of 0.2 and 0.6 along every axis."""
    energy = np.stack([np.full(graph.globals.energy.shape, e, np.float32) for e in (0.1, 0.3)])
    forces = np.stack([np.full(graph.nodes.forces.shape, f, np.float32) for f in (0.2, 0.6)])
    return Output(energy, None, energy[0], forces, None)


class Place:
    everywhere = staticmethod(lambda tree: tree)
    predict = staticmethod(lambda params, constants, batch, **settings: said(batch))


def test_every_choice_is_its_definition(task) -> None:
    found = validation_errors(task, None, SimpleNamespace(cutoff=3.0), Place())
    energy, forces, domain = [], [], []
    for graph in task.validation:
        energy.append(abs(0.2 - float(graph.globals.energy[0])) / int(graph.n_node[0]))
        forces.append(np.abs(0.4 - graph.nodes.forces).ravel() if graph.globals.has_forces[0] else np.zeros(0))
        domain.append(int(graph.globals.domain[0]))
    error = lambda rows: (np.mean([energy[i] for i in rows]) + np.mean(np.concatenate([forces[i] for i in rows]))) / SCALE
    each = [error([i for i in range(8) if domain[i] == d]) for d in range(3)]
    assert found["mean"] == pytest.approx(error(range(8)), rel=1e-5)
    assert found["worst_domain"] == pytest.approx(max(each), rel=1e-5)
    assert found["mean_of_domains"] == pytest.approx(np.mean(each), rel=1e-5)
    assert found["worst_domain"] > found["mean"]


def test_a_fit_records_all_and_chooses_by_the_one_that_is_asked_for(learner, visible, tmp_path) -> None:
    fit = lambda choice: dataclasses.replace(learner, n_epoch=2, choose_by=choice, domain="anion").fit(
        visible, jax.random.key(0), run_dir=tmp_path / choice
    )
    for choice in ("mean", "worst_domain"):
        predictor = fit(choice)
        rows = read_metrics(tmp_path / choice / NAME)
        assert [r["validation"] for r in predictor.history] == [row[f"validation/{choice}"] for row in rows]
    assert rows[0]["validation/worst_domain"] >= rows[0]["validation/mean_of_domains"]


def test_an_unknown_choice_is_refused(learner, visible) -> None:
    with pytest.raises(ValueError, match="choose_by is 'median'; allowed: mean, worst_domain, mean_of_domains"):
        check_choice("median")
