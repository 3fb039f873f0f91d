"""What 298 K adds to a formation energy: zero-point and thermal energies of compound and elements, by the Debye model."""

from __future__ import annotations

import jax
import numpy as np
from _tasks import Side, Task, crystal_of, union
from pymatgen.core import Composition
from sklearn.ensemble import ExtraTreesRegressor

from matjax.data.descriptors import composition_features, element_fractions
from matjax.data.elements import SYMBOLS, table
from matjax.graph.descriptors import structure_descriptors
from matjax.thermo import debye_free_energy, debye_temperature
from matjax.types import Crystal
from matjax.units import PRESSURE

ROOM = 298.15
MOLECULES = {"H": (0.2702, 8.467), "N": (0.1458, 8.670), "O": (0.0976, 8.683), "F": (0.0565, 8.825), "Cl": (0.0346, 9.181)}
"""Zero-point energy, eV (Huber & Herzberg 1979), and H(298.15 K) - H(0 K), kJ/mol (CODATA 1989), of the diatomic gases."""
KJ_PER_MOL = 0.010364269656


def thermal_task(task: Task, *, subtract: bool) -> Task:
    """The compounds with a structure; as target the measured enthalpy, or what it would be at 0 K without vibrations."""
    records = {r["material_id"]: r for r in union()}
    rows = np.array([i for i, m in enumerate(task.target.material) if m in records])
    term = formation_term([crystal_of(records[task.target.material[i]]) for i in rows])
    kept, side = rows[np.isfinite(term)], task.target
    value = side.value[kept] - (term[np.isfinite(term)] if subtract else 0)
    target = Side(tuple(side.crystals[i] for i in kept), side.features[kept], value, side.system[kept], side.material[kept])
    return task._replace(target=target, pbe=task.pbe[kept])


def formation_term(crystals: list[Crystal]) -> np.ndarray:
    """H(298.15 K) of vibrations with zero-point energy, compound less elements, eV/atom [n]; NaN where an element has no structure."""
    elements = np.full(len(SYMBOLS) - 1, np.nan)
    for symbol, energy in _elements().items():
        elements[SYMBOLS.index(symbol) - 1] = energy
    fractions = element_fractions(crystals)
    reference = np.where(fractions > 0, fractions * np.where(fractions > 0, elements[None], 0), 0).sum(1)
    return enthalpy(debye(crystals)) - reference


def enthalpy(theta: np.ndarray) -> np.ndarray:
    """Vibrational enthalpy at room temperature, eV/atom: F - T dF/dT."""
    with jax.enable_x64(True):
        slope = jax.vmap(jax.grad(lambda t, theta: debye_free_energy(t, theta)), (None, 0))(ROOM, theta)
        return np.asarray(debye_free_energy(ROOM, theta)) - ROOM * np.asarray(slope)


def debye(crystals: list[Crystal]) -> np.ndarray:
    """Debye temperatures, K [n], from moduli that trees predict (1,181 calculated tensors)."""
    known = [r for r in union() if r.get("G_VRH") is not None and r["K_VRH"] > 1 and r["G_VRH"] > 1]
    moduli = np.log([[r["K_VRH"], r["G_VRH"]] for r in known])
    trees = ExtraTreesRegressor(100, random_state=0).fit(_features([crystal_of(r) for r in known]), moduli)
    bulk, shear = np.exp(trees.predict(_features(crystals))).T * PRESSURE["GPa"]
    volume = np.array([c.volume / len(c) for c in crystals])
    mass = np.array([table()["mass"][c.numbers].mean() for c in crystals])
    return np.asarray(debye_temperature(bulk, shear, volume, mass))


def _elements() -> dict[str, float]:
    """Vibrational enthalpy of the elements, eV/atom: gases as measured, the others as Debye solids in their lowest PBE structure."""
    lowest: dict[str, tuple[float, Crystal]] = {}
    for r in union():
        composition = Composition(r["formula"])
        if composition.is_element and r["e_form"] is not None:
            symbol = composition.elements[0].symbol
            if symbol not in lowest or r["e_form"] < lowest[symbol][0]:
                lowest[symbol] = (r["e_form"], crystal_of(r))
    solids = [s for s in lowest if s not in MOLECULES]
    found = dict(zip(solids, enthalpy(debye([lowest[s][1] for s in solids])).tolist(), strict=True))
    return found | {s: (zero + KJ_PER_MOL * heat) / 2 for s, (zero, heat) in MOLECULES.items()}


def _features(crystals: list[Crystal]) -> np.ndarray:
    return np.concatenate([composition_features(crystals), np.stack([structure_descriptors(c) for c in crystals])], 1)
