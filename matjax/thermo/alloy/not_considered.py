"""What may be more stable than every competitor: the phases that are in no landscape, said in every answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matjax.thermo.alloy.liquid import ideal_solidus

NOT_CONSIDERED = ("liquid", "sigma", "mu", "Laves", "chi", "omega", "compounds that are not in the list")
"""Phases that are in no landscape of solutions alone."""

NEAR_MELTING = 0.8
"""Part of the lowest estimated solidus above which a landscape without a liquid is told to be one."""

LAVES = ("C14", "C15", "C36")


def not_considered(
    elements: Sequence[str], compounds: Sequence[str] = (), *, temperature: float | None = None, liquid: bool = False
) -> tuple[str, ...]:
    """The phases that are not in a landscape and may be more stable than all that are, in words for reports.

    Args:
      elements: Symbols of the landscape.
      compounds: Names of its compounds, or of their prototypes, each with the prototype first: "C15 Mg2Cu".
      temperature: K, the highest at which it is used: if it is above NEAR_MELTING of the lowest solidus of these elements (ideal mixing
        melts nowhere below the lowest melting point), the liquid is named with a warning.
      liquid: Whether the landscape has a liquid.

    Example:
      >>> not_considered(["Cu", "Ni"], ["sigma Cu8Ni22", "C15 Cu2Ni"], temperature=1200.0)[0]
      'liquid (1200 K is above 0.8 of the lowest estimated solidus, 1358 K of Cu)'
    """
    present = {name.split()[0] for name in compounds if name.strip()}
    said = {name: name for name in NOT_CONSIDERED if name not in present and not (name == "liquid" and liquid)}
    if "liquid" in said and temperature is not None:
        said["liquid"] = _molten(elements, temperature)
    if absent := [name for name in LAVES if name not in present]:
        said["Laves"] = "Laves" if len(absent) == len(LAVES) else f"Laves ({', '.join(absent)})"
    else:
        del said["Laves"]
    return tuple(said.values())


def _molten(elements: Sequence[str], temperature: float) -> str:
    solidus = ideal_solidus(elements, np.eye(len(elements)))
    if not np.isfinite(solidus).any() or temperature <= NEAR_MELTING * (lowest := np.nanmin(solidus)):
        return "liquid"
    where = f"{lowest:.0f} K of {elements[int(np.nanargmin(solidus))]}"
    return f"liquid ({temperature:g} K is above {NEAR_MELTING} of the lowest estimated solidus, {where})"
