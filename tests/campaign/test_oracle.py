"""Nothing false is learned: every way in which an answer can be wrong is found, named, and classed."""

import dataclasses
import pickle

import numpy as np
import pytest
from ase.calculators.calculator import CalculationFailed, CalculatorSetupError, PropertyNotImplementedError, SCFError

from matjax.campaign import Emt, check_elements, check_result, failed, failure_class
from matjax.campaign.oracle import failed_by
from matjax.types import Crystal, Dataset, Result

CRYSTAL = Crystal(3.5 * np.eye(3), 1.75 * np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]), np.array([13, 28, 28, 28]))
REFERENCES = {"Al": -3.36, "Ni": -4.45}


def frames(**changes) -> Dataset:
    labels = {"energy": np.array([-18.0]), "forces": (np.zeros((4, 3)),), "stress": np.zeros((1, 3, 3))}
    return Dataset((CRYSTAL,), ("one",), {k: v for k, v in {**labels, **changes}.items() if v is not None})


def good(**changes) -> Result:
    """A sound result, with changes."""
    labels = {"energy_per_atom": -4.6, "volume_per_atom": CRYSTAL.volume / 4} | changes.pop("labels", {})
    result = Result("converged", CRYSTAL, labels, np.eye(6), frames(), {"max_force": 0.01}, cost=2.0)
    return dataclasses.replace(result, **changes)


def moved(**arrays) -> Crystal:
    return dataclasses.replace(CRYSTAL, **arrays)


def test_what_is_sound_passes_as_it_is() -> None:
    for result in (good(), good(elastic=None, frames=None)):
        assert check_result(CRYSTAL, result, reference_energies=REFERENCES) is result
    assert failure_class(good()) == ""
    assert check_result(CRYSTAL, good(), elastic=True, frames=True).converged
    assert check_result(CRYSTAL, good(evidence={"max_force": 0.04}), max_force=0.05).converged


SWAPPED = moved(numbers=CRYSTAL.numbers[::-1])
FEWER = Crystal(CRYSTAL.lattice, CRYSTAL.positions[:3], CRYSTAL.numbers[:3])
OTHERS = moved(numbers=[13, 13, 28, 28])
LOST = moved(positions=np.full((4, 3), np.nan))
WRONG = {
    "no crystal": (good(crystal=None), "programming", "holds no crystal"),
    "fewer atoms": (good(crystal=FEWER), "programming", r"wrong atoms: 4 went in \(Al1Ni3\), 3 came back \(Al1Ni2\)"),
    "other atoms": (good(crystal=OTHERS), "programming", r"4 went in \(Al1Ni3\), 4 came back \(Al2Ni2\)"),
    "other order": (good(crystal=SWAPPED), "programming", "the order changed"),
    "nan positions": (good(crystal=LOST), "numerical", "the relaxed crystal holds values that are not finite"),
    "nan energy": (good(labels={"energy_per_atom": np.nan}), "numerical", "energy_per_atom is nan"),
    "infinite label": (good(labels={"gap": np.inf}), "numerical", "gap is inf"),
    "no energy": (dataclasses.replace(good(), labels={"volume_per_atom": 10.7}), "programming", "no label energy_per_atom; it has: volume"),
    "huge energy": (good(labels={"energy_per_atom": -4e3}), "physical", "more than 100 eV/atom from zero .*reference_energies"),
    "volume of another": (good(labels={"volume_per_atom": 12.0}), "programming", "volume_per_atom is 12.000 Å³, but .* 10.719"),
    "no evidence": (good(evidence={}), "numerical", "max_force is nan eV/Å; it must be given and at most 0.02"),
    "large force": (good(evidence={"max_force": 0.3}), "numerical", "max_force is 0.3 eV/Å"),
    "elastic shape": (good(elastic=np.eye(3)), "programming", r"shape \(3, 3\); it must be \(6, 6\)"),
    "elastic nan": (good(elastic=np.full((6, 6), np.nan)), "numerical", "elastic constants are not finite"),
    "elastic asymmetric": (good(elastic=np.triu(np.ones((6, 6)))), "programming", "not symmetric"),
    "frame label": (good(frames=frames(stress=None)), "programming", "frames have no label stress; they have: energy, forces"),
    "frame nan": (good(frames=frames(energy=np.array([np.nan]))), "numerical", "frame one holds values that are not finite"),
    "frame forces": (good(frames=frames(forces=(np.zeros((3, 3)),))), "programming", r"forces of frame one have shape \(3, 3\)"),
    "frame atoms": (good(frames=dataclasses.replace(frames(), crystals=(OTHERS,))), "programming", "frame one has the wrong atoms"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_fails_by_name(case: str) -> None:
    result, failure, message = WRONG[case]
    checked = check_result(CRYSTAL, result)
    assert checked.status == "failed" and failure_class(checked) == failure
    assert not checked.labels and checked.elastic is None and checked.frames is None
    assert checked.evidence == result.evidence and checked.cost == 2.0
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(checked.error)


def test_what_was_asked_for_must_come() -> None:
    assert "elastic constants were asked for" in check_result(CRYSTAL, good(elastic=None), elastic=True).error
    assert "frames were asked for" in check_result(CRYSTAL, good(frames=None), frames=True).error


@pytest.mark.parametrize(
    ("factor", "word"), [(27.2114, "hartree, taken for eV"), (13.6057, "rydberg, taken for eV"), (1 / 27.2114, "eV, taken for hartree")]
)
def test_a_factor_between_units_is_noticed(factor: float, word: str) -> None:
    # In hartree, -4.6 eV/atom is a plausible -0.17: only the references tell.
    result = good(labels={"energy_per_atom": -4.6 / factor})
    assert word in check_result(CRYSTAL, result, reference_energies=REFERENCES).error
    assert check_result(CRYSTAL, result).converged == (factor > 1)


def test_total_energies_are_judged_from_their_references() -> None:
    result = good(labels={"energy_per_atom": -4000.5})
    assert check_result(CRYSTAL, result, reference_energies={"Al": -1000.0, "Ni": -5000.0}).converged
    assert (
        "more than 100 eV/atom from its elements (-4e+04)"
        in check_result(CRYSTAL, result, reference_energies={"Al": -4e4, "Ni": -4e4}).error
    )
    assert "from zero" in check_result(CRYSTAL, result, reference_energies={"Al": -1000.0}).error


def test_a_failure_that_says_so_keeps_its_class() -> None:
    for status, word, failure in (
        ("failed", "transient: the node died", "transient"),
        ("unconverged", "100 steps", "numerical"),
        ("transformed", "", "physical"),
        ("failed", "strange: what", "programming"),
    ):
        result = check_result(CRYSTAL, Result(status, error=word))
        assert result.status == status and failure_class(result) == failure and result.error.startswith(f"{failure}: ")
        assert word in result.error
    with pytest.raises(ValueError, match="class of failure is 'odd'; allowed: transient, numerical"):
        failed("odd", "message")


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a function")
        self.function = lambda: None


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TimeoutError("too long"), "transient"),
        (OSError(28, "No space left on device"), "transient"),
        (MemoryError(), "transient"),
        (FileNotFoundError(2, "pw.x"), "programming"),
        (OSError("libmpi.so.12: cannot open shared object file"), "programming"),
        (np.linalg.LinAlgError("singular"), "numerical"),
        (ZeroDivisionError("zero"), "numerical"),
        (SCFError("no convergence"), "numerical"),
        (CalculationFailed("exit code 1"), "numerical"),
        (CalculatorSetupError("no such option"), "programming"),
        (PropertyNotImplementedError("forces"), "programming"),
        (TypeError("unexpected keyword"), "programming"),
        (Unpicklable(), "programming"),
    ],
    ids=repr,
)
def test_exceptions_have_a_class_and_travel_as_text(error: BaseException, failure: str) -> None:
    result = pickle.loads(pickle.dumps(failed_by(error, 1.5)))
    assert failure_class(result) == failure and result.cost == 1.5
    assert result.error == f"{failure}: {type(error).__name__}: {error}"


def test_elements_are_checked_before_anything_is_spent() -> None:
    check_elements(Emt(), ("Cu", "Ni"))
    with pytest.raises(ValueError, match="oracle EMT does not know Co, W; it knows Ag, Al, Au, Cu, Ni, Pd, Pt"):
        check_elements(Emt(), ("Al", "Co", "W"))
