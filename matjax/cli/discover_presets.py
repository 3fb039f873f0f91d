"""The campaigns that the command line offers: which elements an oracle starts with, how much is measured, and what is left out."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

from matjax.campaign import Emt, Lammps
from matjax.campaign.config import LABORATORY, Comparison, DiscoverConfig
from matjax.campaign.crystals.problem import KnownSet
from matjax.config import kind_of
from matjax.override import override
from matjax.simulate.laboratory import Laboratory
from matjax.toml import from_toml
from matjax.training.learner import GraphLearner
from matjax.value import Alloys, ValueGuided, ValueLearner

ORACLES = {"laboratory": Laboratory, "lammps": Lammps, "emt": Emt}
ELEMENTS = {"laboratory": LABORATORY, "lammps": "Al Co Cr Fe Mo Ni V", "emt": "Al Ni Cu Pd Ag"}
"""What a campaign starts with where nobody says; oracles are called by their kind."""

QUICK_ELEMENTS = {"laboratory": "Al Cu Fe Ni Ti", "lammps": "Al Co Cr Fe Ni", "emt": "Al Ni Cu Pd Ag"}

NO_COMPARISON = Comparison(seeds=0, audit=0)
"""With an oracle that measures crystal by crystal, comparisons would cost many times the campaign."""


def preset(size: str, oracle: str = "laboratory") -> DiscoverConfig:
    """Settings of a size ("quick", "default") with an oracle.

    Raises:
      ValueError: If the oracle is not known.
    """
    if oracle not in ORACLES:
        raise ValueError(
            f"oracle {oracle!r} is not known; known: {', '.join(ORACLES)}; any ASE calculator, GPAW, program or learned potential serves "
            'in a settings file ([oracle] kind = "ase", "gpaw", "command" or "potential")'
        )
    default = DiscoverConfig(space=Alloys(ELEMENTS[oracle]), oracle=ORACLES[oracle]())
    default = default if oracle == "laboratory" else dataclasses.replace(default, comparison=NO_COMPARISON)
    if size == "default":
        return default
    return dataclasses.replace(
        default,
        space=Alloys(QUICK_ELEMENTS[oracle]),
        budget=12,
        batch=4,
        pool=64,
        n_decoration=1,
        known=KnownSet(binaries=(0.5,), compounds=("L1_2", "B2")),
        learner=GraphLearner(members=2, n_epoch=8, batch_size=default.learner.batch_size),
        n_epoch_more=2,
        proposer=ValueGuided(ValueLearner(batch=64, n_iteration=4)),
        comparison=Comparison(seeds=3, audit=16) if oracle == "laboratory" else NO_COMPARISON,
    )


def resolve(
    config: Path | None, oracle: str | None, quick: bool, budget: int | None, seed: int | None, assignments: list[str]
) -> DiscoverConfig:
    """The settings that a command line asks for: a file, or a size; then single settings, `assignments` last.

    Where a file is silent about elements and comparisons, they are those that its oracle starts with.

    Raises:
      ValueError: If something is not known or does not fit.
    """
    if config is not None and quick:
        raise ValueError(f"{config} has its own sizes; --quick chooses sizes where no settings file is given")
    if config is None:
        settings = preset("quick" if quick else "default", oracle or "laboratory")
    else:
        settings = _from_file(config, oracle)
    named = {"budget": budget, "seed": seed}
    return override(settings, [f"{name}={value}" for name, value in named.items() if value is not None] + assignments)


def _from_file(path: Path, oracle: str | None) -> DiscoverConfig:
    """The settings of a file, with another oracle if one is named."""
    settings = from_toml(path, DiscoverConfig)
    written = tomllib.loads(path.read_text(encoding="utf-8"))
    if oracle is not None and oracle != kind_of(type(settings.oracle)):
        settings = dataclasses.replace(settings, oracle=preset("default", oracle).oracle)
    kind = kind_of(type(settings.oracle))
    if kind in ELEMENTS and "elements" not in written.get("space", {}):
        settings = dataclasses.replace(settings, space=dataclasses.replace(settings.space, elements=ELEMENTS[kind]))
    if kind != "laboratory" and "comparison" not in written:
        settings = dataclasses.replace(settings, comparison=NO_COMPARISON)
    return settings


def leaves_out(config: DiscoverConfig, quick: bool) -> str:
    """What a campaign of this size leaves out, in words; empty if nothing that must be said."""
    said = ["Quick: few metals, a small known set, few epochs. For a look, not for a claim."] if quick else []
    if not isinstance(config.oracle, Laboratory) and config.comparison == NO_COMPARISON:
        said.append("No random or genetic search beside it: with this oracle they cost more than the campaign (--set comparison.seeds=3).")
    return " ".join(said)
