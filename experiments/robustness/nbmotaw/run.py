"""Elements and binaries in, the four-element alloy out, on density functional theory: errors, intervals and flags under that shift.

Ensembles of `GeometryTensor` on frames of Nb, Mo, Ta and W (Li et al. 2020): one on all elements and binaries, which meets the
quaternary; short ones that leave out a binary (6) or an element with its binaries (4); and one of message-passing layers (`layers`), which
also meets the quaternary. Beside them the published SNAP potential, whose training saw ternary and quaternary cells. A fit is kept as
soon as it is done; a run that was stopped goes on with the next.

    python experiments/robustness/nbmotaw/run.py --budget 60 --lammps ENVIRONMENT/bin/python
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import _above  # noqa: F401 (finds the shared parts)
import jax
import numpy as np
from _command import Run, command
from _figures import Told, flags, holdout_row, intervals, quaternary_rows, told
from _fit import Fit, fitted
from _frames import BINARIES, ELEMENTS, SOURCE, Sizes, frames, parts
from _rows import Arrays, Clock, keep, kept, write
from _shift_scores import mean_by_score
from _snap import snap

from matjax.config import spec
from matjax.nn import Equivariant, GeometryTensor, nequip
from matjax.training import GraphLearner
from matjax.training.supervision import target_per_atom
from matjax.types import Dataset

HERE = Path(__file__).resolve().parent

LEVEL = 0.9
TINY = (
    "sizes={elastic=4, dynamics=4, solution=6, validation=1, calibration=2, features=30, test=6}",
    "headline.n_epoch=1",
    "holdout.n_epoch=1",
)
SMOKE = (
    *TINY,
    "headline.members=2",
    "learner.model.n_channel=8",
    "learner.model.hidden=8",
    "learner.model.cutoff=4.0",
    "learner.model.l_max=0",
)
QUICK = ("sizes.solution=60", "sizes.dynamics=60", "headline.n_epoch=4", "holdout.n_epoch=2", "headline.members=2")


@spec
class Length:
    """Members of an ensemble and passes over the frames."""

    members: int = 2
    n_epoch: int = 4


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    seed: int = 20
    sizes: Sizes = Sizes()
    learner: GraphLearner = dataclasses.field(default_factory=lambda: GraphLearner(model=GeometryTensor()))
    headline: Length = Length()
    holdout: Length = Length()
    layers: Length = Length()


def message_passing() -> Equivariant:
    """Message passing on edges up to l = 1, in the size of experiments/benchmarks."""
    return nequip("32x0e+32x1o", cutoff=5.0, radial=(64,), norm=False, skip="element")


def plan() -> list[Fit]:
    """The fits, the most telling first."""
    short = [Fit(held, "ERM", "holdout") for held in ("none", *BINARIES, *ELEMENTS)]
    robust = [Fit(held, "GroupDRO", "holdout") for held in ("none", *BINARIES, *ELEMENTS)]
    return [*short[:1], Fit("none", "ERM", "headline"), *short[1:], Fit("none", "ERM", "layers"), *robust]


def measure(settings: Settings, data: Dataset, runs: Path, fits: list[Fit], clock: Clock, python: Path | None, out: Path) -> dict[str, Any]:
    """Fits what is missing and writes the result after every fit; returns the last."""
    key = jax.random.key(settings.seed)
    found: dict[Fit, Arrays] = {}
    result: dict[str, Any] = {}
    for fit in fits:
        arrays = kept(runs / f"{fit.name}.npz")
        if arrays is None and not clock.is_over():
            length: Length = getattr(settings, fit.length)
            model = message_passing() if fit.length == "layers" else settings.learner.model
            learner = dataclasses.replace(settings.learner, model=model, members=length.members, n_epoch=length.n_epoch)
            arrays = fitted(fit, data, parts(data, fit.held, settings.sizes, key), learner, settings.sizes.features, key)
            keep(runs / f"{fit.name}.npz", arrays)
            print(f"{fit.name}: {float(arrays['cpu_s']):.0f} CPU seconds", file=sys.stderr, flush=True)
        if arrays is not None:
            found[fit] = arrays
    result = figures(found, settings, data, snap_rows(data, python, runs))
    result["missing"] = [fit.name for fit in fits if fit not in found]
    write(out, result)
    return result


def figures(found: dict[Fit, Arrays], settings: Settings, data: Dataset, snap_found: list[dict[str, Any]]) -> dict[str, Any]:
    """Every table."""
    quaternary, holdouts, flagged = list(snap_found), [], []
    for fit, arrays in found.items():
        if fit.held == "none":
            quaternary += quaternary_rows(f"{fit.method}, {fit.length}", told(arrays, "quaternary", data))
            if fit.method == "ERM":
                flagged += flags("quaternary", arrays, "quaternary", data, f"quaternary ({fit.length})")
        elif (matched := found.get(Fit("none", fit.method, fit.length))) is not None:
            holdouts.append(holdout_row(fit.held, fit.method, arrays, matched, data))
            if fit.method == "ERM":
                kind = "leave-element-out" if fit.held in ELEMENTS else "leave-binary-out"
                flagged += flags(fit.held, arrays, "outside", data, kind)
    held = {fit.held: arrays for fit, arrays in found.items() if fit.held != "none" and fit.method == "ERM"}
    covered = intervals(held, found.get(Fit("none", "ERM", "headline")), data, LEVEL) if len(held) > 2 else []
    cost = [{"fit": fit.name, "n_train": int(a["n_train"]), "cpu_s": float(a["cpu_s"])} for fit, a in found.items()]
    about = {"data": SOURCE.name, "unit": "meV/atom, meV/Å", "settings": repr(settings), "level": LEVEL, "jax": jax.__version__}
    more = {"interval_means": interval_means(covered), "flag_means": mean_by_score(flagged), "flags": flagged, "fits": cost}
    return {
        **about,
        "quaternary": quaternary,
        "holdouts": holdouts,
        "intervals": covered,
        "interval_means": interval_means(covered),
        **more,
    }


def interval_means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Coverage and width over the left-out binaries, over the left-out elements, and on the quaternary as a whole and hot."""
    kinds = {"binaries": BINARIES, "elements": ELEMENTS, "quaternary": ("quaternary all",), "hot quaternary": ("quaternary hot",)}
    lines = []
    for kind, domains in kinds.items():
        mine = [r for r in rows if r["domain"] in domains]
        for quantity, method in dict.fromkeys((r["quantity"], r["method"]) for r in mine):
            some = [r for r in mine if (r["quantity"], r["method"]) == (quantity, method)]
            covers, widths = [r["coverage"] for r in some], [r["width"] for r in some if r["width"] is not None]
            line = {"domains": kind, "quantity": quantity, "method": method, "n_domain": len(some), "coverage": float(np.mean(covers))}
            lines.append({**line, "coverage_min": min(covers), "width": float(np.mean(widths)) if widths else None})
    return lines


def snap_rows(data: Dataset, python: Path | None, runs: Path) -> list[dict[str, Any]]:
    """SNAP on the quaternary; its energies get an offset per element, by least squares over elements and binaries."""
    path = runs / "snap.npz"
    arrays = kept(path)
    if arrays is None:
        if python is None:
            return []
        group = data.domains["group"].astype(str)
        alloy = np.flatnonzero(group == "Multinary_Test")
        some = np.concatenate([np.flatnonzero(group == g)[::10] for g in np.unique(group) if g.endswith(("_SS", "_AIMD"))])
        rows = np.concatenate([some, alloy])
        energy, forces = snap(python, [data.crystals[i] for i in rows])
        arrays = {"rows": rows, "is_alloy": np.isin(rows, alloy), "energy": energy, "forces": forces}
        keep(path, arrays)
    chosen = data.select(arrays["rows"])
    n_atom = np.array([len(c) for c in chosen.crystals])
    numbers = np.unique(np.concatenate([c.numbers for c in chosen.crystals]))
    share = np.stack([[np.mean(c.numbers == z) for z in numbers] for c in chosen.crystals])
    error = arrays["energy"] / n_atom - target_per_atom(chosen, "energy")
    alloy = arrays["is_alloy"]
    error = error - share @ np.linalg.lstsq(share[~alloy], error[~alloy], rcond=None)[0]
    atoms = np.repeat(alloy, n_atom)
    truth = np.concatenate(chosen.labels["forces"])
    one = Told(
        arrays["rows"][alloy], error[None, alloy], np.zeros((alloy.sum(), 1)), arrays["forces"][None, atoms], truth[atoms], n_atom[alloy]
    )
    return quaternary_rows("SNAP (published)", one)


TABLES = {
    "quaternary": ("method", "group", "n", "rms_force", "bias", "energy_mae_unbiased", "forces_mae", "forces_cosine", "forces_slope"),
    "holdouts": (
        "split",
        "domain",
        "method",
        "energy_mae",
        "energy_mae_matched",
        "bias",
        "energy_mae_unbiased",
        "forces_mae",
        "forces_mae_matched",
    ),
    "interval_means": ("domains", "quantity", "method", "n_domain", "coverage", "coverage_min", "width"),
    "flag_means": ("family", "score", "auroc_error", "n_domain"),
    "fits": ("fit", "n_train", "cpu_s"),
}


def check(result: dict[str, Any], n_fit: int) -> None:
    """Refuses a result that is not whole.

    Raises:
      ValueError: If a table is short or a number out of its range.
    """
    if (
        result["missing"]
        or len(result["fits"]) != n_fit
        or len(result["quaternary"]) < 4
        or not result["holdouts"]
        or not result["intervals"]
    ):
        raise ValueError(f"a table is missing rows: { ({k: len(v) for k, v in result.items() if isinstance(v, list)}) }")
    for row in result["quaternary"] + result["holdouts"]:
        if not (row["energy_mae"] >= row["energy_mae_unbiased"] * 0.5 and row["forces_mae"] > 0 and -1 <= row["forces_cosine"] <= 1):
            raise ValueError(f"not a valid row: {row}")
    if any(not 0 <= row["coverage"] <= 1 for row in result["intervals"]):
        raise ValueError("a coverage is out of its range")


def main() -> None:
    """Reads the command line and runs."""
    command(
        __doc__,
        HERE,
        Settings,
        lambda run: measure(run.settings, frames(), run.folder, plan(), run.clock, run.given.lammps, run.out),
        try_out,
        tables=TABLES,
        quick=QUICK,
        smoke=SMOKE,
        quick_help="fewer frames and passes",
        needs=(SOURCE,),
        options={"--lammps": {"type": Path, "help": "Python with lammps and mpich, for the SNAP potential (left out)"}},
    )


def try_out(run: Run) -> None:
    """The fits that a smoke test makes."""
    fits = [fit for fit in plan() if fit.method == "ERM" and fit.length != "layers" and fit.held in ("none", "MoTa", "MoW", "NbMo")]
    check(measure(run.settings, frames(14), run.folder, fits, run.clock, None, run.out), len(fits))


if __name__ == "__main__":
    main()
