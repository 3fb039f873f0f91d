"""How well empirical rules tell alloys with one phase from alloys with several: the baselines that phase stability has to beat.

Data: 1,252 alloys of Pei et al. (2020), npj Comput. Mater. 6, 50 (CC BY 4.0): bcc, fcc, hcp or multi-phase. For each number, the area
under its receiver operating curve (0.5 says nothing; below 0.5 it points the other way), with a 95% interval over chemical systems; for
each rule with a published threshold, its balanced accuracy; and a logistic regression on all numbers, cross-validated with chemical
systems left out. Most of these alloys are binary, so everything is given again for those of four elements and more, for which the rules
were made.

    python experiments/thermodynamics/alloy_rules.py --json
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from matjax.thermo.alloy.rules import features, guo_phase, yang_zhang

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "../shared/data/hea_experimental/pei2020_pei2020_alloys_phases.csv"
RULES = {  # where each paper draws its line
    "omega >= 1.1 and delta <= 6.6% (Yang & Zhang 2012)": lambda f: yang_zhang(f["omega"], f["size_mismatch"]),
    "phi > 20 (Ye et al. 2015)": lambda f: f["ye"] > 20,
    "Phi > 1 (King et al. 2016)": lambda f: f["king"] > 1,
    "kappa < kappa_critical (Senkov & Miracle 2016)": lambda f: f["senkov_miracle"] > 0,
    "Lambda > 0.96 (Singh et al. 2014)": lambda f: f["singh"] > 0.96,
}
LARGE = 1e6  # stands for infinity in a ranking


def read(path: Path) -> tuple[list[dict[str, float]], np.ndarray]:
    """Compositions and phases."""
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    compositions = []
    for row in rows:
        amounts: dict[str, float] = {}
        for symbol, amount in re.findall("([A-Z][a-z]?)([0-9.]*)", row["Alloy"]):
            amounts[symbol] = amounts.get(symbol, 0.0) + float(amount or 1)
        compositions.append({s: a / sum(amounts.values()) for s, a in amounts.items()})
    return compositions, np.array([row["Phase"] for row in rows])


def auroc(is_single: np.ndarray, score: np.ndarray, systems: np.ndarray, n_draw: int) -> dict[str, float]:
    """Area with a 95% interval: chemical systems drawn with replacement."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(systems == s) for s in np.unique(systems)]
    areas = []
    for _ in range(n_draw):
        drawn = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        if 0 < is_single[drawn].mean() < 1:
            areas.append(roc_auc_score(is_single[drawn], score[drawn]))
    low, high = np.percentile(areas, [2.5, 97.5])
    return {"auroc": round(float(roc_auc_score(is_single, score)), 3), "low": round(float(low), 3), "high": round(float(high), 3)}


def judge(found: dict[str, np.ndarray], phase: np.ndarray, systems: np.ndarray, n_draw: int) -> dict:
    """What numbers, rules and a regression on them say of one set of alloys."""
    is_single = phase != "multi-phase"
    finite = {name: np.clip(value, -LARGE, LARGE) for name, value in found.items()}
    table = np.stack([np.sign(value) * np.log1p(np.abs(value)) for value in finite.values()], 1)
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = GroupKFold(min(10, len(np.unique(systems))))
    chance = np.asarray(cross_val_predict(model, table, is_single, groups=systems, cv=folds, method="predict_proba"))[:, 1]
    is_cubic = np.isin(phase, ["fcc", "bcc"])
    return {
        "n": len(phase),
        "n_single": int(is_single.sum()),
        "numbers": {name: auroc(is_single, value, systems, n_draw) for name, value in finite.items()},
        "rules": {name: round(float(balanced_accuracy_score(is_single, rule(found))), 3) for name, rule in RULES.items()},
        "regression": auroc(is_single, chance, systems, n_draw)
        | {"balanced_accuracy": round(float(balanced_accuracy_score(is_single, chance > 0.5)), 3)},
        "guo_fcc_or_bcc": {
            "n": int(is_cubic.sum()),
            "share_right": round(float((guo_phase(found["valence"]) == phase)[is_cubic].mean()), 3),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON on one line; else indented")
    parser.add_argument("--smoke", action="store_true", help="few draws: does it run?")
    parser.add_argument("--out", type=Path, help="also write the result to this file")
    given = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"{DATA} is absent: get the supplementary data of Pei et al. (2020), npj Comput. Mater. 6, 50, with columns Alloy, Phase")
    compositions, phase = read(DATA)
    elements = sorted({s for composition in compositions for s in composition})
    x = np.array([[composition.get(s, 0.0) for s in elements] for composition in compositions])
    found = {name: np.asarray(value) for name, value in features(x, elements, missing="nan").items()}
    known = ~np.any([np.isnan(value) for value in found.values()], axis=0)
    systems = np.array(["-".join(sorted(composition)) for composition in compositions])
    many = (x > 0).sum(1) >= 4
    keep = lambda rows: ({name: value[rows] for name, value in found.items()}, phase[rows], systems[rows], 20 if given.smoke else 200)
    result = {
        "n_alloy": len(phase),
        "n_without_data": int((~known).sum()),
        "all": judge(*keep(known)),
        "four_elements_and_more": judge(*keep(known & many)),
    }
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result) if given.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
