"""The same question where the best are not neighbours: compounds of up to eight metals whose orbits are mixtures, some 10^13.

Five ordered structures; sixteen metals share out each orbit in sixths. The reward is the pessimistic Gibbs energy of formation of an
ensemble of networks (`_ensemble.py`). Searches, tuning and comparison are those of `../large_space`.

    python experiments/discovery/large_compounds/run.py --json
"""

from __future__ import annotations

import sys
from pathlib import Path

from _ensemble import WEIGHTS, pessimistic_reward

sys.path.append(str(Path(__file__).resolve().parents[1]))
from _search import Settings, compare
from _trials import Row, Trials, command

HERE = Path(__file__).resolve().parent
QUICK = ("seeds=2", "tuning_seeds=1", "tuning.tau=[0.02]")
SHORT = ("n_call=64", "learner={batch=32, n_iteration=2, inner_steps=2, width=16}")
SMOKE = (
    'space.elements="Cu Ag Au Ni Al Ti"',
    "space.n_grid=2",
    *SHORT,
    "seeds=1",
    "tuning_seeds=1",
    "tuning={tau=[0.02], population=[32], tournament=[2], crossover=[0.0, 0.3]}",
)


def measure(settings: Settings, trials: Trials) -> Row:
    """Every row, then the figures over the seeds."""
    return compare(settings, pessimistic_reward(settings.space, settings.temperature), trials)


if __name__ == "__main__":
    command(__doc__ or "", HERE, Settings, measure, inputs=(WEIGHTS,), quick=QUICK, smoke=SMOKE)
