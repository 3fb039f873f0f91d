"""Whether an alloy is stable, said for people: with its doubt, what it would fall apart into, and what nobody looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from scipy import stats

from matjax.simulate.prototypes import LATTICES
from matjax.thermo.alloy.liquid import LIQUID
from matjax.thermo.alloy.not_considered import not_considered
from matjax.thermo.alloy.of_potential import Alloy
from matjax.thermo.alloy.single_phase import single_phase_probability
from matjax.thermo.alloy.stability import describe, stabilities


def answer(
    alloy: Alloy,
    phase: str,
    composition: Mapping[str, float],
    temperature: float,
    *,
    widening: float = 1.0,
    level: float = 0.1,
    oracle: str = "the potential",
    oracle_error: float | None = None,
) -> dict[str, Any]:
    """Stability of one solution (or of the liquid) on every member's landscape, as a record for a report.

    Probability and interval are relative to the oracle: they hold what the members disagree on. The oracle's own error stands beside them.

    Args:
      alloy: The landscape and its names.
      phase: "fcc", "bcc", "hcp" or "liquid".
      composition: Atomic fraction by symbol.
      temperature: K.
      widening: Calibrated factor on the members' spread; see `single_phase_probability`.
      level: 1 - coverage of the interval.
      oracle: What the energies are from.
      oracle_error: Its mean absolute error against experiment where it is known, eV/atom.

    Returns:
      candidate, temperature, stability (mean over members, eV/atom), interval and single_phase_probability (None for a single member, which
      has no spread), competitors of the median member, not_considered, relative_to, oracle_error.

    Raises:
      ValueError: If the phase or an element is not the landscape's, or as `stabilities`.
    """
    phases = {name: k for k, name in enumerate(LATTICES)} | {"liquid": LIQUID}
    if phase not in phases:
        raise ValueError(f"phase is {phase!r}; allowed: {', '.join(phases)}")
    if strange := sorted(set(composition) - set(alloy.elements)):
        raise ValueError(f"the landscape has no {', '.join(strange)}; its elements are {', '.join(alloy.elements)}")
    x = np.array([composition.get(symbol, 0.0) for symbol in alloy.elements])
    found = jax.tree.map(
        lambda y: np.asarray(y)[:, 0], stabilities(alloy.landscape, np.array([phases[phase]]), x[None], temperature, terms=alloy.terms)
    )
    values = found.value
    middle = int(np.argsort(values)[len(values) // 2])
    interval = probability = None
    if len(values) > 1:
        reach = widening * values.std(ddof=1) * np.sqrt(1 + 1 / len(values)) * stats.t.ppf(1 - level / 2, len(values) - 1)
        interval = (float(values.mean() - reach), float(values.mean() + reach))
        probability = float(single_phase_probability(values, widening=widening))
    parts = " ".join(f"{symbol}{100 * share:.4g}" for symbol, share in composition.items() if share > 0)
    return {
        "candidate": f"{phase} {parts}",
        "temperature": float(temperature),
        "stability": float(values.mean()),
        "interval": interval,
        "single_phase_probability": probability,
        "competitors": describe(jax.tree.map(lambda y: y[middle], found), alloy.elements, alloy.compounds),
        "not_considered": not_considered(
            alloy.elements, alloy.compounds, temperature=temperature, liquid=alloy.landscape.liquid is not None
        ),
        "relative_to": oracle,
        "oracle_error": oracle_error,
    }
