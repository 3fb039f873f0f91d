"""From a network to an alloy: the landscape of two metals in a universal potential, beside measured enthalpies.

Relaxes the elements, random solutions and ordered compounds with nequix-oam-1-pft; prints formation enthalpies of the compounds beside
those of calorimetry, enthalpies of the solutions, and what the one definition of stability makes of them, the liquid among the phases.
A file keeps every relaxation: an interrupted run goes on where it stopped. `--quick` takes the elements and the compounds of Al-Ni alone;
`--smoke` a pair potential in place of the network, whose numbers mean nothing.

    python experiments/thermodynamics/alloy.py --json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.thermo import Sampling, answer, landscape_of, liquid
from matjax.training.pretrained import potential
from matjax.types import Graph, Output

HERE = Path(__file__).parent
WEIGHTS = HERE.parents[2] / "shared" / "data" / "nequix" / "nequix-oam-1-pft.nqx"
MEASURED = {"B2 AlNi": (-0.75, -0.64), "L1_2 Ni3Al": (-0.43, -0.39)}
"""Standard enthalpies of formation by calorimetry, eV/atom: -62 to -72 kJ/mol for NiAl, -38 to -41 kJ/mol for Ni3Al."""

FULL = {
    "Cu Ni": Sampling(shares=(0.5,), lattices=("fcc",), prototypes=("L1_0", "L1_2"), elastic=False, batch_size=4),
    "Al Ni": Sampling(shares=(0.5,), lattices=("fcc",), elastic=False, batch_size=4),
}
QUICK = {"Al Ni": Sampling(lattices=(), prototypes=("B2", "L1_2"), elastic=False, batch_size=4)}
SMOKE = {"Al Ni": Sampling(shares=(0.5,), lattices=("fcc",), prototypes=("B2",), elastic=False, batch_size=4)}


@dataclasses.dataclass(frozen=True)
class Morse:
    """A Morse bond between all pairs, for the smoke run: energy = 1/2 sum over edges of depth ((1 - exp(-1.8 (r - r_0)))^2 - 1)."""

    cutoff: float = 5.0

    def init(self, rngs: Any, graph: Graph) -> dict[str, Any]:
        """One parameter."""
        return {"params": {"depth": jnp.float32(0.35)}, "constants": {}}

    def apply(self, variables: Any, graph: Graph) -> Output:
        """Energies of a packed batch."""
        r = jnp.sqrt(jnp.square(graph.edges.vectors).sum(-1))
        z = graph.nodes.numbers.astype(r.dtype)
        rest = 2.45 + 0.006 * (z[graph.senders] + z[graph.receivers])
        inside = jnp.square(jnp.maximum(1 - jnp.square(r / self.cutoff), 0.0))
        bond = 0.5 * variables["params"]["depth"] * (jnp.square(1 - jnp.exp(-1.8 * (r - rest))) - 1) * inside
        atomic = jax.ops.segment_sum(bond, graph.receivers, z.shape[0], indices_are_sorted=True)
        n_graph = graph.n_node.shape[0]
        owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=z.shape[0])
        return Output(jax.ops.segment_sum(atomic, owner, n_graph), None, jnp.zeros((n_graph, 1)))


def study(known: Any, elements: tuple[str, ...], sampling: Sampling, cache: Path | None, temperatures: tuple[float, ...]) -> dict[str, Any]:
    begin = time.process_time()
    alloy = landscape_of(known, elements, sampling, liquid=liquid(elements), cache=cache)
    half = dict.fromkeys(elements, 0.5)
    answers = [answer(alloy, "fcc", half, t, oracle="nequix-oam-1-pft") for t in temperatures] if sampling.lattices else []
    rows = [
        {"name": row["name"], "share": row["composition"][elements[1]], "ev_atom": float(np.mean(row["enthalpy"])), "measured": measured}
        for row in alloy.cells
        if max(row["composition"].values()) < 1
        for measured in [MEASURED.get(row["name"])]
    ]
    return {
        "elements": elements,
        "cells": rows,
        "set_aside": alloy.set_aside,
        "answers": answers,
        "cpu_seconds": round(time.process_time() - begin, 1),
    }


def show(found: dict[str, Any]) -> None:
    print(f"{'-'.join(found['elements'])}: enthalpies relative to the elements, eV/atom ({found['cpu_seconds']} s of processor time)")
    for row in found["cells"]:
        beside = "" if row["measured"] is None else f"   measured {row['measured'][0]} to {row['measured'][1]}"
        print(f"  {row['name']:<24}{row['ev_atom']:+8.3f}{beside}")
    for one in found["answers"]:
        parts = " + ".join(f"{c['fraction']:.2f} {c['phase']}" for c in one["competitors"])
        print(f"  {one['candidate']} at {one['temperature']:g} K: stability {1e3 * one['stability']:+.0f} meV/atom, against {parts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a pair potential in place of the network")
    parser.add_argument("--quick", action="store_true", help="elements and compounds of Al-Ni")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "alloy.json", help="where the full run is kept")
    parser.add_argument("--cache", type=Path, default=HERE / "results" / "alloy.jsonl", help="relaxations, one a line")
    args = parser.parse_args()
    if args.smoke:
        known, systems, cache = (Morse(), Morse().init(None, None)), SMOKE, None  # type: ignore[arg-type]
    else:
        known, systems, cache = potential(WEIGHTS if WEIGHTS.exists() else "nequix-oam-1-pft"), QUICK if args.quick else FULL, args.cache
    found = [study(known, tuple(name.split()), sampling, cache, (600.0, 1200.0)) for name, sampling in systems.items()]
    whole = {"potential": "Morse" if args.smoke else "nequix-oam-1-pft", "systems": found}
    if not (args.smoke or args.quick):
        args.out.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    if args.json:
        print(json.dumps(whole))
        return
    for one in found:
        show(one)


if __name__ == "__main__":
    main()
