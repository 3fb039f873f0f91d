"""Crystals in, glass out: what a network of crystals says of copper-zirconium melts and melt-quenched glasses.

The labels are those of the embedded-atom laboratory, exact and cheap, so that every error is the network's. Trained on strained and
displaced crystals of six prototypes; asked about melts at 2,500 K and glasses at 300 K. Beside it the same network with melts of other
compositions in its training set. A fit is kept as soon as it is done; a run that was stopped goes on with the next.

    python experiments/robustness/amorphous/run.py --budget 20
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import _above  # noqa: F401 (finds the shared parts)
import jax
import numpy as np
from _command import command
from _frames import crystals, melt, quench
from _laboratory import labelled
from _outside import Parts, accuracy_rows, asked, crossed, dealt, flag_table, interval_rows
from _rows import Arrays, Clock, keep, kept, write
from _shift_scores import mean_by_score

from matjax.config import spec
from matjax.data.matched import join
from matjax.keys import child, generator
from matjax.nn import GeometryTensor
from matjax.stress_test.certificate import certify
from matjax.training import GraphLearner
from matjax.types import Crystal, Dataset

HERE = Path(__file__).resolve().parent
SMOKE = (
    "compositions=[0.4, 0.6]",
    "n_melt=1",
    "n_atom=32",
    "blocks=[80, 8, 40]",
    "per_prototype=24",
    "learner.members=2",
    "learner.n_epoch=1",
    "learner.model.n_channel=8",
    "learner.model.hidden=8",
    "learner.model.cutoff=4.0",
    "learner.model.l_max=0",
)
QUICK = ("n_melt=1", "blocks=[40, 120, 24]", "per_prototype=40", "learner.n_epoch=6", "learner.members=2")
MIDDLE = "middle composition"
FITS = ("crystals", "crystals, cross-fit", "crystals and other melts")


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    seed: int = 3
    compositions: tuple[float, ...] = (0.36, 0.5, 0.64)
    n_melt: int = 2
    n_atom: int = 108
    hot: float = 2500.0
    cold: float = 300.0
    blocks: tuple[int, ...] = (60, 320, 40)
    per_prototype: int = 70
    strain: float = 0.05
    rattle: float = 0.15
    learner: GraphLearner = dataclasses.field(default_factory=lambda: GraphLearner(model=GeometryTensor()))


def frames(settings: Settings, runs: Path, key: jax.Array) -> tuple[Dataset, Dataset]:
    """Labelled crystals (column `prototype`), and labelled melts and glasses (columns `state`, `composition`, `melt`)."""
    found, names = crystals(settings.per_prototype, settings.strain, settings.rattle, child(key, "crystals"))
    solid = labelled(found, [f"crystal {i}" for i in range(len(found))], prototype=names)
    rows: list[tuple[Crystal, str, float, int]] = []
    temperatures = quench(settings.hot, settings.cold, *settings.blocks)
    for share in settings.compositions:
        for k in range(settings.n_melt):
            path = runs / f"melt-{share:g}-{k}.npz"
            arrays = kept(path)
            if arrays is None:
                arrays = _arrays(*melt(share, settings.n_atom, temperatures, settings.blocks[0], child(key, "melt", str(share), k)))
                keep(path, arrays)
            made = [Crystal(a, x, arrays["numbers"]) for a, x in zip(arrays["lattice"], arrays["positions"], strict=True)]
            rows += [(c, state, share, k) for c, state in zip(made, arrays["state"].astype(str), strict=True)]
    cells, states, shares, numbers = zip(*rows, strict=True)
    columns = {"state": np.array(states), "composition": np.array(shares), "melt": np.array(numbers), "prototype": np.array(states)}
    return solid, labelled(cells, [f"frame {i}" for i in range(len(cells))], **columns)


def _arrays(hot: list[Crystal], cold: list[Crystal]) -> Arrays:
    every = [*hot, *cold]
    state = np.array(["melt"] * len(hot) + ["glass"] * len(cold))
    cells = {"lattice": np.stack([c.lattice for c in every]), "positions": np.stack([c.positions for c in every])}
    return {**cells, "numbers": every[0].numbers, "state": state}


def measure(settings: Settings, runs: Path, clock: Clock, out: Path) -> dict[str, Any]:
    """Makes the frames, fits what is missing and writes the result."""
    key = jax.random.key(settings.seed)
    solid, fluid = frames(settings, runs, key)
    state, share = fluid.domains["state"], fluid.domains["composition"]
    parts = dealt(solid, (0.06, 0.15, 0.15), generator(child(key, "parts")))
    middle = sorted(settings.compositions)[len(settings.compositions) // 2]
    outside = {name: fluid.select(state == name) for name in ("melt", "glass")}
    unseen = {f"{name}, {MIDDLE}": fluid.select((state == name) & (share == middle)) for name in ("melt", "glass")}
    more = fluid.select((state == "melt") & (share != middle))
    plain = Dataset(more.crystals, more.ids, more.labels, {"prototype": more.domains["prototype"]}, more.metadata)
    both = parts._replace(train=join(parts.train, plain))
    found: dict[str, Arrays] = {}
    for name in FITS:
        path = runs / f"{name.replace(', ', '-').replace(' ', '-')}.npz"
        arrays = kept(path)
        if arrays is None and not clock.is_over():
            k = child(key, name)
            arrays = fitted(name, settings.learner, parts, both, outside, unseen, k)
            keep(path, arrays)
            print(f"{name}: {float(arrays['cpu_s']):.0f} CPU seconds", file=sys.stderr, flush=True)
        if arrays is not None:
            found[name] = arrays
    result = {"unit": "meV/atom, meV/Å", "settings": repr(settings), "jax": jax.__version__}
    result |= figures(found, parts, outside, tuple(unseen)) | {"certificates": certificates(parts, outside, key)}
    result["missing"] = [name for name in FITS if name not in found]
    write(out, result)
    return result


def fitted(
    name: str, learner: GraphLearner, parts: Parts, both: Parts, outside: dict[str, Dataset], unseen: dict[str, Dataset], key: jax.Array
) -> Arrays:
    """One of `FITS`; the one that is trained on melts is asked about the composition that it has no melt of."""
    if name == FITS[1]:
        return crossed(learner, parts, "prototype", key)
    return asked(learner, parts, outside | unseen, key) if name == FITS[0] else asked(learner, both, unseen, key)


def certificates(parts: Parts, outside: dict[str, Dataset], key: jax.Array) -> list[dict[str, Any]]:
    """How far melts and glasses are from the crystals, before any training."""
    rows = []
    for name, data in outside.items():
        found = dataclasses.asdict(certify(parts.train.crystals, data.crystals, key=child(key, "certificate", name)))
        rows.append({"part": name, **{k: v for k, v in found.items() if isinstance(v, (str, float))}})
    return rows


def figures(found: dict[str, Arrays], parts: Parts, outside: dict[str, Dataset], unseen: tuple[str, ...]) -> dict[str, Any]:
    """Every table that the fits allow."""
    errors, covered, flags = [], [], []
    crystal, cross, both = (found.get(name) for name in FITS)
    if crystal is not None:
        names = ["inside", *outside, *unseen]
        errors += accuracy_rows(FITS[0], crystal, names)
        covered += interval_rows(FITS[0], crystal, cross, names)
        flags += flag_table("crystal to amorphous", crystal, parts, outside)
    if both is not None:
        errors += accuracy_rows(FITS[2], both, ["inside", *unseen])
        covered += interval_rows(FITS[2], both, None, ["inside", *unseen])
    fits = [{"fit": k, "n_train": int(a["n_train"]), "cpu_s": float(a["cpu_s"])} for k, a in found.items()]
    return {"errors": errors, "intervals": covered, "flag_means": mean_by_score(flags), "flags": flags, "fits": fits}


TABLES = {
    "certificates": ("part", "certificate", "two_sample_auc", "beyond_composition", "beyond_structure"),
    "errors": ("method", "part", "n", "rms_force", "bias", "energy_mae", "energy_mae_unbiased", "forces_mae"),
    "intervals": ("method", "part", "interval", "coverage", "width"),
    "flags": ("family", "domain", "score", "auroc_error", "auroc_domain", "share_above"),
    "fits": ("fit", "n_train", "cpu_s"),
}


def check(result: dict[str, Any]) -> None:
    """Refuses a result that is not whole.

    Raises:
      ValueError: If something is missing or out of its range.
    """
    if result["missing"] or any(not result[name] for name in TABLES):
        raise ValueError(f"missing: {result['missing'] or [name for name in TABLES if not result[name]]}")
    if any(not row["forces_mae"] > 0 for row in result["errors"]) or any(not 0 <= row["coverage"] <= 1 for row in result["intervals"]):
        raise ValueError("a number is out of its range")


def main() -> None:
    """Reads the command line and runs."""
    command(
        __doc__,
        HERE,
        Settings,
        lambda run: measure(run.settings, run.folder, run.clock, run.out),
        lambda run: check(measure(run.settings, run.folder, run.clock, run.out)),
        tables=TABLES,
        quick=QUICK,
        smoke=SMOKE,
        quick_help="fewer frames and passes",
    )


if __name__ == "__main__":
    main()
