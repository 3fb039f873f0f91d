"""From a potential to a landscape: against lattice sums by hand, each member alone, a second call from the file."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import matjax.thermo.alloy.relaxations as module
from matjax.graph import neighbours
from matjax.simulate.network import Network
from matjax.simulate.prototypes import prototype
from matjax.thermo import Sampling, answer, landscape_of, liquid
from matjax.types import Crystal, Output

CUTOFF, DEPTHS = 4.5, (0.30, 0.42)
SAMPLING = Sampling(shares=(0.5,), lattices=("fcc",), prototypes=("L1_2",), elastic=False, max_force=5e-3, batch_size=4)


def bond(r, z_first, z_second, depth, xp):
    """Morse, longer and deeper the heavier the atoms, zero with its slope at the cutoff."""
    total = z_first + z_second
    shape = xp.square(1 - xp.exp(-1.8 * (r - 2.3 - 0.004 * total))) - 1
    return depth * (1 + 0.01 * (total - 57)) * shape * xp.square(xp.maximum(1 - xp.square(r / CUTOFF), 0.0))


@dataclasses.dataclass(frozen=True)
class Morse:
    """Half the sum of bonds over edges."""

    cutoff: float = CUTOFF

    def init(self, rngs, graph):
        return {"params": {"depth": jnp.float32(DEPTHS[0])}, "constants": {}}

    def apply(self, variables, graph):
        z = graph.nodes.numbers.astype(graph.edges.vectors.dtype)
        r = jnp.sqrt(jnp.square(graph.edges.vectors).sum(-1))
        energy = 0.5 * bond(r, z[graph.senders], z[graph.receivers], variables["params"]["depth"], jnp)
        owner = jnp.repeat(jnp.arange(len(graph.n_edge)), graph.n_edge, total_repeat_length=len(r))
        return Output(jax.ops.segment_sum(energy, owner, len(graph.n_edge)), None, jnp.zeros((len(graph.n_edge), 1)))


def ensemble() -> Network:
    return Network(Morse(), {"params": {"depth": jnp.array(DEPTHS)}, "constants": {}}, -np.arange(119) / 10)


def by_hand(name: str, numbers: tuple[int, ...], depth: float) -> float:
    """Lowest energy per atom of a cubic structure over its lattice constant, without references."""
    cell = prototype(name)

    def energy(scale: float) -> float:
        crystal = Crystal(cell.vectors * scale, cell.frac_coords @ cell.vectors * scale, np.array(numbers)[cell.orbit])
        senders, receivers, vectors, *_ = neighbours(crystal, CUTOFF)
        z = crystal.numbers
        return 0.5 * bond(np.linalg.norm(vectors, axis=1), z[senders], z[receivers], depth, np).sum() / len(cell)

    return minimize_scalar(energy, bounds=(2.2, 2.9), method="bounded", options={"xatol": 1e-9}).fun


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    cache = tmp_path_factory.mktemp("alloy") / "cells.jsonl"
    return landscape_of(ensemble(), ("Cu", "Ni"), SAMPLING, cache=cache), cache


def test_every_member_finds_the_enthalpies_of_its_own_lattice_sums(made):
    alloy, _ = made
    rows = {row["name"]: row for row in alloy.cells}
    assert alloy.compounds == ("L1_2 Cu3Ni", "L1_2 Ni3Cu") and not alloy.set_aside and len(rows) == 9
    for k, depth in enumerate(DEPTHS):
        pure = {z: min(by_hand(name, (z,), depth) for name in ("fcc", "bcc", "hcp")) for z in (29, 28)}
        for name, (first, second) in (("L1_2 Cu3Ni", (29, 28)), ("L1_2 Ni3Cu", (28, 29))):
            formation = by_hand("L1_2", (first, second), depth) - 0.75 * pure[first] - 0.25 * pure[second]
            assert rows[name]["enthalpy"][k] == pytest.approx(formation, abs=2e-5)
        assert rows["bcc Ni"]["enthalpy"][k] == pytest.approx(by_hand("bcc", (28,), depth) - pure[28], abs=2e-5)
    assert np.asarray(alloy.landscape.compound_enthalpy).shape == (2, 2) and not alloy.terms.vibrational
    np.testing.assert_allclose(
        np.asarray(alloy.landscape.compound_enthalpy)[1], [rows[c]["enthalpy"][1] for c in alloy.compounds], atol=2e-4
    )


def test_a_second_call_asks_the_potential_for_nothing(made, monkeypatch):
    alloy, cache = made
    whole = cache.read_text(encoding="utf-8")
    cache.write_text(whole + '{"key": "interrup', encoding="utf-8")
    monkeypatch.setattr(module, "batch_relax", lambda *_, **__: pytest.fail("relaxed again"))
    again = landscape_of(ensemble(), ("Cu", "Ni"), SAMPLING, cache=cache)
    module.Store(cache).add({"key": "one more"})
    assert module.Store(cache).rows["one more"] and len(module.Store(cache).rows) == len(whole.splitlines()) + 1
    cache.write_text(whole, encoding="utf-8")
    for ours, theirs in zip(jax.tree.leaves(alloy.landscape), jax.tree.leaves(again.landscape), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_the_answer_says_how_sure_it_is_and_relative_to_what(made):
    alloy, cache = made
    alloy = landscape_of(ensemble(), ("Cu", "Ni"), SAMPLING, liquid=liquid(("Cu", "Ni")), cache=cache)
    told = answer(alloy, "fcc", {"Cu": 0.5, "Ni": 0.5}, 900.0, oracle="Morse", oracle_error=0.5)
    low, high = told["interval"]
    assert low < told["stability"] < high and 0 < told["single_phase_probability"] < 1
    assert (told["relative_to"], told["oracle_error"]) == ("Morse", 0.5)
    assert "liquid" not in told["not_considered"] and "sigma" in told["not_considered"]
    assert sum(row["fraction"] for row in told["competitors"]) == pytest.approx(1, abs=5e-3)
    hot = answer(alloy, "fcc", {"Cu": 0.5, "Ni": 0.5}, 2000.0)
    assert hot["stability"] > 0 and hot["competitors"][0]["phase"] == "liquid"
    with pytest.raises(ValueError, match="allowed: fcc"):
        answer(alloy, "diamond", {"Cu": 1.0}, 300.0)
    with pytest.raises(ValueError, match="has no Zn"):
        answer(alloy, "fcc", {"Zn": 1.0}, 300.0)
