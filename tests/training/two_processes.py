"""What `test_distributed` runs in every process: a script that a user would write, the same for one process and for many."""

import sys
from pathlib import Path

import jax
import numpy as np

from matjax.data import load
from matjax.nn import Equivariant
from matjax.training import AdamW, GraphLearner, Loss
from matjax.training.distributed import folder_of_process, join
from matjax.types import Visible


def interrupt(record) -> None:
    """Stops after the first epoch."""
    if record["epoch"] == 1:
        raise KeyboardInterrupt


def main(out: Path) -> None:
    """Trains, is interrupted, goes on, and writes what it found."""
    join()

    flla = load("flla")
    small = flla.select([i for i, c in enumerate(flla.crystals) if 2 <= len(c) <= 6][:31])
    visible = Visible(small.select(range(21)), small.select(range(21, 31)), small.select([]), small.select([]))
    learner = GraphLearner(
        Equivariant("4x0e+4x1o", n_layer=1, n_basis=4),
        Loss(shape="mse"),
        optimizer=AdamW(1e-2),
        members=1,
        n_epoch=2,
        batch_size=6,
        label="formation_energy_per_atom",
    )
    out.mkdir()
    with folder_of_process(out / "run") as run_dir:
        try:
            learner.fit(visible, jax.random.key(0), run_dir=run_dir, report=interrupt)
        except KeyboardInterrupt:
            predictor = learner.fit(visible, jax.random.key(0), run_dir=run_dir)
    errors = [epoch["validation"] for epoch in predictor.history]
    np.savez(out / "answer.npz", said=predictor(visible.validation.crystals).mean, errors=errors)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
