"""Where enumeration is out of reach: value learning against a tuned genetic search at equal reward calls, and at equal time.

Some 10^12 alloys of four to eight of sixteen metals in steps of 2 at.% on three lattices. The reward is the pessimistic Gibbs energy of
an ensemble of networks (`_ensemble.py`). Both searches choose their settings on seeds of their own, then meet on others, paired.

    python experiments/discovery/large_space/run.py --json
"""

from __future__ import annotations

import sys
from pathlib import Path

from _ensemble import WEIGHTS, pessimistic_reward

sys.path.append(str(Path(__file__).resolve().parents[1]))
from _search import Settings as Base
from _search import compare
from _trials import Row, Trials, command

from matjax.config import spec
from matjax.value import Alloys

HERE = Path(__file__).resolve().parent
QUICK = ("seeds=2", "tuning_seeds=1", "tuning.tau=[0.02]")
SHORT = ("n_call=64", "learner={batch=32, n_iteration=2, inner_steps=2, width=16}")
SMOKE = (*SHORT, "seeds=1", "tuning_seeds=1", "tuning={tau=[0.02], population=[32], tournament=[2], crossover=[0.0, 0.3]}")


@spec
class Settings(Base):
    """Of the experiment; see `config.toml`."""

    space: Alloys


def measure(settings: Settings, trials: Trials) -> Row:
    """Every row, then the figures over the seeds."""
    return compare(settings, pessimistic_reward(settings.space, settings.temperature), trials)


if __name__ == "__main__":
    command(__doc__ or "", HERE, Settings, measure, inputs=(WEIGHTS,), quick=QUICK, smoke=SMOKE)
