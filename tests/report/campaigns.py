"""A campaign for the discovery pages. It tests rendering: its numbers follow small formulas, not a calculation."""

import json
from pathlib import Path
from typing import Any

import numpy as np

ELEMENTS = ("Al", "Co", "Cu", "Fe", "Mo", "Ni", "Ti", "W")
NOTE = "model system: embedded-atom potentials of Zhou, Johnson and Wadley (2004) with mixed cross terms; no claim about real alloys"
ALLOYS = (
    ("fcc", {"Co": 0.25, "Cu": 0.1, "Fe": 0.3, "Ni": 0.35}),
    ("bcc", {"Fe": 0.35, "Mo": 0.3, "Ti": 0.2, "W": 0.15}),
    ("fcc", {"Al": 0.1, "Co": 0.3, "Cu": 0.2, "Ni": 0.4}),
    ("hcp", {"Al": 0.15, "Co": 0.25, "Mo": 0.1, "Ni": 0.2, "Ti": 0.3}),
)
PHASES = (
    {"phase": "bcc", "fraction": 0.62, "composition": {"Co": 0.07, "Cu": 0.025, "Fe": 0.9, "Ni": 0.005}},
    {"phase": "L1_2 FeNi3", "fraction": 0.3, "composition": {"Fe": 0.25, "Ni": 0.75}},
    {"phase": "fcc", "fraction": 0.08, "composition": {"Cu": 0.973, "Ni": 0.027}},
)


def make_call(call: int) -> dict[str, Any]:
    """Call number `call` of 40: predictions that come nearer to the measurement in later rounds, every ninth call failed."""
    rng = np.random.default_rng(call)
    prototype, composition = ALLOYS[call % 4]
    turn, failed = call // 8, call % 9 == 8
    stability = 0.06 * float(np.exp(-call / 25)) * rng.normal() - 0.0008 * call
    spread = 0.03 / (1 + turn)
    utility = float(1 / (1 + np.exp(stability / 0.03)))
    measured = {
        "stability": stability, "gibbs_mixing": stability - 0.1, "pugh_ratio": 1.6 + 0.02 * call, "born": 20.0, "bulk_modulus": 170.0,
        "shear_modulus": 80.0, "price": 12.5, "density": 8.1, "utility": utility, "competitors": list(PHASES),
    }  # fmt: skip
    return {
        "call": call, "round": turn, "slot": call % 8, "candidate": f"{prototype} alloy {call}", "key": f"{call:016x}",
        "prototype": prototype, "composition": composition, "why": ("thompson", "thompson", "upper", "audit")[call % 4],
        "predicted_utility_mean": utility + spread * rng.normal(), "predicted_utility_std": spread, "predicted_reward": -0.4,
        "predicted_stability_mean": stability + spread * rng.normal(), "predicted_stability_std": spread,
        "predicted_stability_low": stability - 1.6 * spread, "predicted_stability_high": stability + 1.7 * spread,
        "novelty": 1.0, "flagged": call % 7 == 3,
        "status": "unconverged" if failed else "converged", **(dict.fromkeys(measured) if failed else measured), "cost": 1.5,
        "error": "numerical: ran out of steps" if failed else "",
    }  # fmt: skip


def make_trace(n_call: int = 40) -> list[dict[str, Any]]:
    return [make_call(call) for call in range(n_call)]


def make_curves(n_seed: int = 5, n_call: int = 40) -> list[dict[str, Any]]:
    """Utilities that rise to 0.85, 0.75 and 0.62, with noise by seed; the fourth call of each gave no answer."""
    curves = []
    for height, rate, proposer in ((0.85, 9, "matjax"), (0.62, 14, "random"), (0.75, 16, "genetic")):
        for seed in range(n_seed):
            rng = np.random.default_rng([seed, rate])
            level = (height + 0.03 * seed / 5) * (1 - np.exp(-(np.arange(n_call) + 2) / rate))
            utility: list[float | None] = [float(value) for value in level * rng.uniform(0.55, 1, n_call)]
            utility[3] = None
            curves.append({"proposer": proposer, "seed": seed, "utility": utility})
    return curves


def make_mixing(title: str, lattice: str, width: float) -> dict[str, Any]:
    """A regular solution, 4 w x (1 - x) - T S, with its own band."""
    x, temperatures = np.linspace(0.0, 1.0, 21), [300.0, 800.0, 1300.0]
    inner = np.clip(x, 1e-9, 1 - 1e-9)
    entropy = -8.617e-5 * (inner * np.log(inner) + (1 - inner) * np.log(1 - inner))
    gibbs = np.array([4 * width * x * (1 - x) - t * entropy for t in temperatures])
    band = 0.012 * np.sqrt(x * (1 - x))
    stability = gibbs + 0.04 - 3e-5 * np.array(temperatures)[:, None]
    lists = {"gibbs_mixing": gibbs, "low": gibbs - band, "high": gibbs + band, "truth_gibbs": gibbs + 0.3 * band}
    lists |= {"stability": stability, "stability_low": stability - band - 0.004, "stability_high": stability + band + 0.004}
    arrays = {name: array.tolist() for name, array in lists.items()}
    return {"title": title, "lattice": lattice, "x_label": "atomic fraction of Ni", "x": x.tolist(), "temperatures": temperatures, **arrays}


def make_trend(candidate: str, slope: float) -> dict[str, Any]:
    temperature = np.linspace(300, 1500, 9)
    stability = 0.03 - slope * temperature
    lists = {"T": temperature, "stability": stability, "low": stability - 0.008, "high": stability + 0.008, "truth": stability + 0.003}
    return {"candidate": candidate, **{name: array.tolist() for name, array in lists.items()}}


def make_value() -> dict[str, Any]:
    n = len(ELEMENTS)
    liking = np.cos(np.arange(n))
    pairs = [[None if i == j or {i, j} == {4, 7} else float(-0.5 + 0.2 * liking[i] * liking[j]) for j in range(n)] for i in range(n)]
    points = [[a, b, 20 - a - b, -0.1 - ((a - 8) ** 2 + (b - 6) ** 2) / 300] for a in range(21) for b in range(21 - a)]
    return {"elements": list(ELEMENTS), "pairs": pairs, "ternary": {"elements": ["Co", "Fe", "Ni"], "points": points}}


def make_round(turn: int) -> dict[str, Any]:
    return {
        "round": turn, "n_train": 400 + 60 * turn, "mae_stability": 0.025 / (1 + 0.6 * turn), "mae_utility": 0.12 / (1 + 0.4 * turn),
        "rms_z": 1.6 - 0.12 * turn, "coverage_90": (0.62, 0.75, 0.88, 0.75, 1.0)[turn], "spread_factor": 1.0 + 0.2 * turn,
        "seconds_learn": 60.0 - 5 * turn, "seconds_propose": 22.0, "seconds_oracle": 14.0 + turn, "n_reward_calls": 1000,
        "n_audit": turn, "audit_gap": 0.1 * turn if turn else None, "audit_evidence": (1.0, 3.5, 1.0, 0.9, 0.8)[turn],
        "n_breach": int(turn > 1), "brake": 0.5 if turn > 1 else 1.0,
    }  # fmt: skip


def make_pressure() -> list[dict[str, Any]]:
    rows = []
    for i in range(9):
        truth, single = 0.4 + 0.05 * i, 0.4 + 0.05 * i - 0.006 * i**2
        rows.append({"n": 2**i, "proxy": truth - 0.02 + 0.008 * i, "truth": truth, "truth_low": truth - 0.03, "truth_high": truth + 0.03,
                     "proxy_single": 0.42 + 0.062 * i, "truth_single": single})  # fmt: skip
    return rows


def make_record() -> dict[str, Any]:
    """The whole `discovery.json` of a campaign that ended."""
    trace = make_trace()
    found = sorted((row for row in trace if row["utility"] is not None), key=lambda row: -row["utility"])[:8]
    best = [
        {**row, "low": row["stability"] - 0.015, "high": row["stability"] + 0.012, "utility_low": row["utility"] - 0.1,
         "utility_high": min(1.0, row["utility"] + 0.08), "flags": ["unfamiliar"] if row["flagged"] else [],
         "structure": f"structures/{i}.cif"}
        for i, row in enumerate(found)
    ]  # fmt: skip
    return {
        "title": "High-entropy alloys of eight metals, found with forty calculations", "command": "matjax demo --seed 0",
        "settings": '[oracle]\nkind = "laboratory"', "oracle": {"name": "laboratory", "version": "zhou2004-1", "note": NOTE},
        "temperature": 1200.0, "elements": list(ELEMENTS), "lattices": ["fcc", "bcc", "hcp"], "prototypes": ["L1_0", "L1_2", "B2", "D0_3"],
        "not_considered": ["liquid", "sigma", "mu", "Laves", "interstitial phases"],
        "terms": ["enthalpy", "configurational entropy", "Debye vibrations"], "budget": 40, "batch": 8,
        "rounds": [make_round(i) for i in range(5)],
        "n_known": 412, "seconds": 431.0, "peak_GiB": 2.3, "versions": {"jax": "0.9.1"}, "hardware": {"cpu": "2 cores"},
        "utility": [{"goal": "stability", "text": "below 0 meV/atom at 1200 K, scale 20 meV/atom"},
                    {"goal": "Pugh ratio", "text": "above 1.75"}],
        "curves": make_curves(), "pressure": make_pressure(), "best": best, "value": make_value(),
        "mixing": [make_mixing("Fe to Ni", "fcc", 0.03), make_mixing("Cu to Ni", "bcc", -0.01)],
        "trends": [make_trend("fcc Co25 Cu10 Fe30 Ni35", 4e-5), make_trend("bcc Fe35 Mo30 Ti20 W15", 2.5e-5)],
        "missing": [["elastic constants of call 8", "it did not converge"]],
    }  # fmt: skip


def write_campaign(folder: Path, record: dict[str, Any] | None, trace: list[dict[str, Any]] | None) -> Path:
    """Writes `discovery.json` and `trace.jsonl`, each where given."""
    folder.mkdir(parents=True, exist_ok=True)
    if record is not None:
        (folder / "discovery.json").write_text(json.dumps(record))
    if trace is not None:
        (folder / "trace.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in trace))
    return folder
