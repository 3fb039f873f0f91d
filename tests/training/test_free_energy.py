"""Free energies that are learned: the head's derivatives, and a potential that finds its way back to the one that was measured."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

from matjax.data.convert import from_ase
from matjax.graph import Shape
from matjax.nn.radial import envelope
from matjax.thermo import References
from matjax.thermo.free_energy.equation_of_state import BirchMurnaghan, fit_equation_of_state
from matjax.training.calorimetry import VOLUMES, Calorimetry, Curves, calorimetric_energies, member_variables, predict_calorimetry
from matjax.training.free_energy import FreeEnergyLoss, fit_free_energies
from matjax.training.optimizer import AdamW
from matjax.training.predictor import GraphPredictor
from matjax.training.supervision import Supervision
from matjax.types import Output

TEMPERATURES = np.array([300.0, 600.0, 900.0])
CRYSTALS = tuple(from_ase(bulk("Cu", "fcc", a=a)) for a in (3.55, 3.6, 3.65))


@dataclasses.dataclass(frozen=True)
class Morse:
    """Bonds of a depth and a stiffness that are learned."""

    cutoff: float = 5.0

    def init(self, rngs, graph):
        return {"params": {"depth": jnp.float32(0.3), "stiffness": jnp.float32(1.5)}, "constants": {}}

    def apply(self, variables, graph):
        own, r = variables["params"], jnp.sqrt(jnp.square(graph.edges.vectors).sum(-1))
        bond = (jnp.square(1 - jnp.exp(-own["stiffness"] * (r - 2.63))) - 1) * envelope(r / self.cutoff)
        atomic = 0.5 * own["depth"] * jax.ops.segment_sum(bond, graph.receivers, graph.nodes.mask.shape[0])
        n_graph = graph.n_node.shape[0]
        owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=graph.nodes.mask.shape[0])
        return Output(jax.ops.segment_sum(atomic, owner, n_graph), None, jnp.zeros((n_graph, 1)))


def predictor(depths, stiffness=1.5) -> GraphPredictor:
    taught = Supervision("energy_per_atom", "eV/atom", ("energy", "forces", "stress"), "unrelaxed", "atoms", "none", (29,), 1, "", "")
    params = {"depth": jnp.asarray(depths, jnp.float32), "stiffness": jnp.full(len(depths), stiffness, jnp.float32)}
    return GraphPredictor(Morse(), params, {"scale": jnp.float32(1)}, References(np.zeros(119)), taught, Shape(16, 1024, 9))


def test_gradients_pass_through_the_head():
    with jax.enable_x64(True):
        volumes = np.linspace(10, 15, 7)
        energy = jnp.asarray(BirchMurnaghan(-3.5, 12.0, 0.85, 5.0, 10.0, 15.0)(0.0, volumes))
        value = jax.jit(lambda e: calorimetric_energies(volumes, e, 63.5, jnp.asarray(TEMPERATURES)))
        direction = jnp.asarray(np.random.default_rng(0).normal(size=7))
        slopes = jax.jit(jax.jacrev(value))(energy)
        np.testing.assert_allclose(
            slopes @ direction, (value(energy + 1e-6 * direction) - value(energy - 1e-6 * direction)) / 2e-6, rtol=1e-5
        )
        np.testing.assert_allclose(value(energy + 1.0), value(energy), atol=1e-10)  # no zero of energy
        assert (value(energy) < 0).all()
        assert np.isnan(value(jnp.asarray(np.linspace(-3, -4, 7)))).all()  # no minimum, no number


def test_a_potential_finds_its_way_to_what_was_measured():
    truth = predict_calorimetry(predictor([0.4]), CRYSTALS, TEMPERATURES)[0]
    start = predictor([0.3])
    rows: list[dict[str, float]] = []
    loss = FreeEnergyLoss(anchor=0.0, consistency=0.0)
    data = Calorimetry(CRYSTALS, TEMPERATURES, np.where(np.eye(3, dtype=bool), np.nan, truth))
    after = fit_free_energies(
        start, data, loss=loss, optimizer=AdamW(0.02, weight_decay=0.0), n_step=40, report=rows.append, key=jax.random.key(0)
    )
    before, now = (np.abs(predict_calorimetry(p, CRYSTALS, TEMPERATURES) - truth).mean((1, 2)) for p in (start, after))
    assert (now < 0.1 * before).all() and rows[-1]["mae"] < 0.2 * rows[0]["mae"]
    np.testing.assert_array_equal(np.asarray(start.params["depth"]), np.float32([0.3]))


def test_the_anchor_holds_and_the_volume_is_asked_for():
    data = Calorimetry(CRYSTALS, TEMPERATURES, predict_calorimetry(predictor([0.4]), CRYSTALS, TEMPERATURES)[0])
    ends, losses = {}, {}
    for name, terms in {"free": (0.0, 0.0), "anchored": (100.0, 0.0), "volume": (0.0, 2.0)}.items():
        rows: list[dict[str, float]] = []
        loss = FreeEnergyLoss(anchor=terms[0], consistency=terms[1])
        optimizer = AdamW(0.01, weight_decay=0.0)
        after = fit_free_energies(
            predictor([0.3]), data, loss=loss, optimizer=optimizer, n_step=15, report=rows.append, key=jax.random.key(0)
        )
        ends[name], losses[name] = abs(float(after.params["depth"][0]) - 0.3), rows[0]["loss"]
    assert ends["anchored"] < 0.3 * ends["free"] and losses["anchored"] == pytest.approx(losses["free"])  # nothing has moved yet
    curves = Curves.of(CRYSTALS, predictor([0.3]), VOLUMES)
    energy = curves.energies(member_variables(predictor([0.3])), Morse())[0]
    own = [float(fit_equation_of_state(v, e).volume) / c.volume - 1 for v, e, c in zip(curves.volumes, energy, CRYSTALS, strict=True)]
    assert losses["volume"] - losses["free"] == pytest.approx(2.0 * np.mean(np.square(np.array(own) / 0.01)), rel=1e-4)


def test_what_cannot_be_learned_from():
    with pytest.raises(ValueError, match="of that shape"):
        Calorimetry(CRYSTALS, TEMPERATURES, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="positive"):
        Calorimetry(CRYSTALS, -TEMPERATURES, np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"crystal 1 \(1 in all\) has no known"):
        Calorimetry(CRYSTALS, TEMPERATURES, np.array([[1.0] * 3, [np.nan] * 3, [1.0] * 3]))
    flat = Calorimetry(CRYSTALS, TEMPERATURES, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="no crystal has a minimum"):
        fit_free_energies(predictor([-0.3]), flat, key=jax.random.key(0))
