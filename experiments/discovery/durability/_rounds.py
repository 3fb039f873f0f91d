"""Whole rounds of a campaign that has many labels already and scores a hundred thousand candidates in each."""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from _campaign import ELEMENTS, Mixed, Regular

from matjax.campaign import Inline, discover
from matjax.data.elements import number
from matjax.keys import generator
from matjax.simulate import prototype
from matjax.simulate.frames import dataset, shaken
from matjax.types import Candidate, Crystal, Result
from matjax.value import Alloys, Random, Thompson

SPACE = Alloys(ELEMENTS, lattices=("fcc",), n_site=84, min_elements=1, max_elements=4, min_count=1, max_count=84)
"""102,340 alloys."""


@dataclasses.dataclass(frozen=True)
class Large(Mixed):
    """The same question on a fine grid, with as many alloys of the known set as asked for."""

    n_label: int
    space: ClassVar[Alloys] = SPACE

    def cells(self, candidate: Candidate) -> list[Crystal]:
        """One cell of 84 atoms."""
        fcc, scale = prototype("fcc"), prototype("fcc").scale(15.0)
        frac = np.concatenate([fcc.frac_coords + [i, j, 0] for i in range(7) for j in range(3)])
        lattice = fcc.vectors * scale
        numbers = np.array([number(s) for s, n in candidate.occupancy[0] for _ in range(n)])
        return [Crystal(np.array([7.0, 3.0, 1.0])[:, None] * lattice, frac @ lattice, numbers)]

    def known(self) -> list[Candidate]:
        """The elements, and others of the space in random order."""
        pure = [Candidate("fcc", (((symbol, 84),),)) for symbol in ELEMENTS]
        every = SPACE.decode(*SPACE.enumerate())
        rows = generator(jax.random.key(3)).permutation(len(every))[: self.n_label]
        return list({c.key: c for c in [*pure, *(every[i] for i in rows)]}.values())[: self.n_label]


@dataclasses.dataclass(frozen=True)
class WithFrames(Regular):
    """Answers with the frames that a network would be trained on."""

    gives: ClassVar[tuple[str, ...]] = ("frames",)

    def _measure(self, crystal: Crystal) -> Result:
        result = super()._measure(crystal)
        frames = shaken(crystal, crystal, 1, 0.02, 0.05)
        energy = result.labels["energy_per_atom"] * len(crystal)
        return dataclasses.replace(
            result, frames=dataset(crystal.key, frames, [(energy, np.zeros((len(crystal), 3)), np.zeros((3, 3)))] * len(frames), self.name)
        )


def rounds(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """CPU seconds of whole rounds against the number of labels."""
    rows = []
    for n_label in config["n_label"]:
        place, times = folder / f"rounds{n_label}", list[float]()
        place.mkdir(parents=True)

        def note(event: dict[str, Any], times: list[float] = times) -> None:
            if event["kind"] == "round":
                times.append(time.process_time())

        discover(
            Large(n_label),
            WithFrames(str(place / "asked.log"), seconds=0.0),
            Random(),
            Thompson(),
            budget=3 * config["batch"],
            batch=config["batch"],
            pool=config["n_candidate"] - n_label,
            run_dir=place / "run",
            key=jax.random.key(7),
            executor=Inline(1),
            report=note,
        )
        each = np.diff(times)  # the first entry is the end of the known set
        rows.append({"labels": n_label, "round_s": round(float(np.median(each)), 3), "file_MB": round(_size(place), 1)})
        print(rows[-1], file=sys.stderr, flush=True)
    logs = np.log([[row["labels"], row["round_s"]] for row in rows])
    return {
        "candidates": config["n_candidate"],
        "rounds": rows,
        "exponent": round(float(np.polyfit(*logs.T, 1)[0]), 2),
        "peak_memory_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def _size(place: Path) -> float:
    return sum(path.stat().st_size for path in (place / "run").glob("campaign.sqlite*")) / 1e6
