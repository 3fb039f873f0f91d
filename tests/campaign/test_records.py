"""Energies of the elements are those of what was measured pure, and tell wrong units of what comes later."""

import dataclasses
from typing import ClassVar

import jax
import pytest

from matjax.campaign import CampaignStopped, discover, read_measured, status
from matjax.campaign.records import Record, reference_energies
from matjax.types import Candidate, Result
from matjax.value.acquisition import Thompson
from matjax.value.proposers import Random
from tests.campaign.tiny import ELEMENTS, Remembered, Tiny


def record(candidate: Candidate, *energies: float, status: str = "converged") -> Record:
    return Record(candidate, -1, 0, "known", {}, None, tuple(Result(status, labels={"energy_per_atom": e}) for e in energies))


def test_the_lowest_of_what_is_pure_and_converged() -> None:
    pure = lambda lattice, symbol: Candidate(lattice, (((symbol, 4),),))
    alloy = Candidate("fcc", ((("Ag", 2), ("Cu", 2)),))
    records = [record(pure("fcc", "Cu"), -3.0, -3.1), record(pure("bcc", "Cu"), -3.2), record(alloy, -9.0)]
    records += [record(pure("fcc", "Ag"), -5.0, status="unconverged"), dataclasses.replace(record(pure("fcc", "Ni")), results=())]
    assert reference_energies(records) == {"Cu": -3.2}


@dataclasses.dataclass(frozen=True)
class SomeInHartree:
    """Total energies of eV, but those of alloys with nickel are in hartree."""

    inside: Remembered
    name: ClassVar[str] = "some in hartree"
    version: ClassVar[str] = "1"
    note: ClassVar[str] = ""
    elements: ClassVar[tuple[str, ...]] = Remembered.elements

    def measure(self, crystals, *, elastic=False, frames=False):
        found = self.inside.measure(crystals, elastic=elastic, frames=frames)
        shifted = lambda result, factor: dataclasses.replace(
            result, labels={**result.labels, "energy_per_atom": (result.labels["energy_per_atom"] - 4.0) * factor}
        )
        return [
            shifted(r, 1 / 27.2114 if 28 in c.numbers and len(set(c.numbers)) > 1 else 1.0) for c, r in zip(crystals, found, strict=True)
        ]


def test_a_campaign_notices_units_that_change_and_learns_nothing_from_them(tmp_path) -> None:
    oracle = SomeInHartree(Remembered(str(tmp_path)))
    with pytest.raises(CampaignStopped, match="is it in hartree, taken for eV"):
        discover(Tiny(), oracle, Random(), Thompson(), budget=12, batch=3, pool=12, run_dir=tmp_path / "run", key=jax.random.key(0))
    learned = [m.candidate for m in read_measured(tmp_path / "run").values()]
    assert len(learned) >= len(ELEMENTS) and not any("Ni" in c.elements and len(c.elements) > 1 for c in learned)
    assert status(tmp_path / "run")["pending"] >= 1
