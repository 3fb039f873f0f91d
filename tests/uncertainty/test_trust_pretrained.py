"""Trust around a model that is trained already: what it promises for new domains, what it flags, and that it works on real weights."""

from pathlib import Path

import jax
import numpy as np
import pytest
from ase.build import bulk

import matjax
from matjax.data import load
from matjax.data.convert import from_ase, to_ase
from matjax.data.descriptors import composition_features
from matjax.data.memberships import memberships
from matjax.keys import generator
from matjax.simulate import EnsembleCalculator
from matjax.types import Dataset, Metadata, Prediction
from matjax.uncertainty import LeaveDomainOut, NearestNeighbours, Trust, trust_pretrained
from matjax.uncertainty.cross_fit import TooFewDomains

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "nequix"
LABEL, KEY = "formation_energy_per_atom", jax.random.key(0)


def frozen(crystals) -> Prediction:
    """A model that nobody will fit again: three members linear in composition."""
    features = composition_features(crystals)[:, :12]
    weights = np.random.default_rng(0).normal(size=(12, 3)) / 1e3
    return Prediction((features @ weights).T, features=features)


@pytest.fixture(scope="module")
def labelled():
    data = load("flla")
    return data.select(np.random.default_rng(1).permutation(len(data))[:600])


@pytest.fixture(scope="module")
def trust(labelled):
    return trust_pretrained(frozen, labelled, column="periodic_groups", label=LABEL, key=KEY)


def test_the_leave_domain_out_interval_is_calibrated_as_a_loop_over_domains_says(labelled, trust):
    error = frozen(labelled.crystals).mean - labelled.labels[LABEL]
    features = frozen(labelled.crystals).features
    labels = np.flatnonzero(np.isfinite(labelled.labels[LABEL]))
    first = np.isin(np.arange(600), np.array_split(generator(KEY).permutation(labels), 2)[0])
    rows = []
    for name, inside in memberships(labelled, "periodic_groups").items():
        if 10 <= inside.sum() <= 480:
            distance = NearestNeighbours().fit(features[first & ~inside]).score(features[inside])
            rows += [(e, name, d) for e, d in zip(error[inside], distance, strict=True)]
    e, name, d = (np.array(column) for column in zip(*rows, strict=True))
    naive = LeaveDomainOut(0.9).fit(e, name, trust.scale_outside.scale({"latent distance": d}))
    assert trust.interval_outside.factor == pytest.approx(naive.factor, rel=1e-6)
    assert len(trust.interval_outside.domain_factor) == len(set(name)) > 9


def test_intervals_cover_crystals_that_it_never_saw(trust):
    data = load("flla")
    test = data.select(np.random.default_rng(1).permutation(len(data))[600:1600])
    said = frozen(test.crystals)
    judged = trust(said, test.crystals)
    error = np.abs(said.mean - test.labels[LABEL])
    assert 0.86 < np.mean(error <= judged.half_width) < 0.94
    assert (judged.half_width_outside >= judged.half_width).all()
    assert np.mean(error <= judged.std) == pytest.approx(0.6827, abs=0.06)
    assert 0.0 < judged.flag.mean() < 0.1


def test_elements_are_those_the_model_knows_not_those_of_the_labelled_crystals(labelled):
    class Known:
        supervision = type("Supervision", (), {"elements": tuple(range(1, 90))})

        def __call__(self, crystals):
            return frozen(crystals)

    few = labelled.select(np.flatnonzero([8 in c.numbers for c in labelled.crystals]))
    other = [c for c in labelled.crystals if not set(c.numbers) <= set(np.concatenate([c.numbers for c in few.crystals]))][:5]
    assert trust_pretrained(Known(), few, label=LABEL, key=KEY).flag.known == frozenset(range(1, 90))
    assert trust_pretrained(frozen, few, label=LABEL, key=KEY).flag.flagged(np.zeros(len(other)), other).all()


def test_errors_say_what_came(labelled):
    absent = Dataset(labelled.crystals, labelled.ids, {LABEL: np.full(600, np.nan)}, metadata=labelled.metadata)
    with pytest.raises(ValueError, match="0 of 600 crystals have the label"):
        trust_pretrained(frozen, absent, label=LABEL, key=KEY)
    with pytest.raises(ValueError, match="6 calibration crystals cannot"):
        trust_pretrained(frozen, labelled.select(range(12)), label=LABEL, key=KEY)
    with pytest.raises(TooFewDomains, match="domains of 'elements' have at least 10 crystals"):
        trust_pretrained(frozen, labelled.select(range(40)), column="elements", label=LABEL, settings=Trust(share=0.2), key=KEY)
    with pytest.raises(ValueError, match="gives no features"):
        trust_pretrained(lambda crystals: Prediction(np.zeros((1, len(crystals)))), labelled, column="elements", label=LABEL, key=KEY)


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.exists(), reason="the weights of Nequix are not beside the repository")
def test_a_named_potential_says_what_to_simulate_without_any_training():
    potential = matjax.potential("nequix-oam-1-pft", folder=FOLDER)
    draw = np.random.default_rng(0)

    def cell(symbol, strain=0.0, rattle=0.03):
        atoms = bulk(symbol, cubic=True)
        atoms.set_cell(atoms.cell.array * (1 + strain + 0.01 * draw.normal()), scale_atoms=True)
        atoms.rattle(rattle, rng=draw)
        return from_ase(atoms)

    near = [cell(("Nb", "Mo", "Ta", "W")[i % 4]) for i in range(72)]
    energy = potential(near).mean + 0.005 * draw.normal(size=72)
    data = Dataset(
        tuple(near), tuple(f"{i}" for i in range(72)), {"energy_per_atom": energy}, metadata=Metadata(units={"energy_per_atom": "eV/atom"})
    )
    trust = trust_pretrained(potential, data.select(range(60)), label="energy_per_atom", key=KEY)
    far = [cell("W", strain=0.2), cell("Mo", rattle=0.5), cell("Al"), cell("Si")]
    assert trust(potential(data.crystals[60:]), data.crystals[60:]).flag.mean() < 0.35
    atoms = to_ase(far[2])
    atoms.calc = EnsembleCalculator(potential, trust=trust)
    atoms.get_potential_energy()
    assert atoms.calc.results["flag"] and "latent distance" in atoms.calc.results["reason"]
    assert 0 < atoms.calc.results["energy_half_width"] < 0.2
    assert trust(potential(far), far).flag.all()
