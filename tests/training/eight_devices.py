"""What `test_mesh` runs in a process with eight devices: the same updates, predictions and fits on several meshes as on one device."""

import dataclasses
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from matjax.data import load
from matjax.risk import DANN, Coral, GroupDRO, Risk
from matjax.training import AdamW, GraphLearner, Loss
from matjax.training.mesh import make_mesh
from matjax.training.placement import Placement
from matjax.training.step import train_step
from matjax.types import Visible
from tests.training.conftest import CONSTANTS, MODEL, SHAPE, Bench

COLLECTIVE = re.compile(r"= \S+ (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter|collective-broadcast)[^\n]*")


def crystals():
    """Forty small crystals."""
    flla = load("flla")
    rows = [i for i, c in enumerate(flla.crystals) if 2 <= len(c) <= 6 and {7, 8, 9} & set(c.numbers.tolist())]
    return flla.select(rows[:40])


def close(a, b, tolerance=2e-5):
    """Equal up to the order of summation in float32."""
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), a, b)


def updates_and_predictions(bench) -> None:
    """Batches of seven and of three crystals on one device, on two along members, and on two times four."""
    plan = dataclasses.replace(bench.plan, risk=Risk(GroupDRO()) + DANN() + Coral(), bootstrap=1.0)
    many, few, start = bench.batch(7), bench.batch(3), jax.device_get(bench.members(plan=plan))

    def run(mesh):
        place = Placement.of(mesh, SHAPE, bench.graphs, MODEL.cutoff)
        members, constants = place.members(jax.tree.map(jnp.copy, start)), place.everywhere(CONSTANTS)
        static = {"model": MODEL, "derivatives": (), "members_per_step": 1, "mesh": mesh}
        step = train_step.lower(members, constants, place.batch(many), plan, **static).compile()
        for batch in (many, few, many):
            members, metrics = step(members, constants, place.batch(batch), plan)
        said = place.predict(members.params, constants, many, model=MODEL, derivatives=("forces", "stress"))
        real = many.globals.mask
        answers = said.energy[:, real], said.forces[:, many.nodes.mask], said.stress[:, real]
        return jax.device_get((members, metrics)), answers, [match[0] for match in COLLECTIVE.finditer(step.as_text() or "")]

    one, answers, _ = run(None)
    for axes in ((2, 1), (2, 4)):
        found, said, crossing = run(make_mesh(*axes))
        close(one, found)
        close(answers, said)
        if axes[1] == 1:
            assert not crossing, f"members need nothing of each other, but: {crossing}"
        else:
            assert crossing, "a batch that is cut needs its outcomes together"
            assert all("{{0,1,2,3},{4,5,6,7}}" in c or "[2,4]<=[8]" in c for c in crossing), (
                f"something crosses between members: {crossing}"
            )


def fits(small, folder: Path) -> None:
    """One device, then eight, then one again gives what one device gives."""
    visible = Visible(small.select(range(24)), small.select(range(24, 30)), small.select(range(30, 34)), small.select(range(34, 40)))
    learner = GraphLearner(MODEL, Loss(shape="mse"), optimizer=AdamW(1e-2), members=2, n_epoch=3, batch_size=6, ema=0.5, shape=tuple(SHAPE))

    def until(epoch: int):
        def report(record) -> None:
            if record["epoch"] == epoch:
                raise KeyboardInterrupt

        return report

    def fit(mesh, **further):
        return dataclasses.replace(learner, mesh=mesh, label="formation_energy_per_atom").fit(visible, jax.random.key(0), **further)

    whole = fit(())
    for mesh, epoch in (((), 1), ((2, 4), 2)):
        try:
            fit(mesh, run_dir=folder, report=until(epoch))
        except KeyboardInterrupt:
            continue
        raise AssertionError("the fit was not interrupted")
    resumed = fit((), run_dir=folder)
    close(whole.params, resumed.params, 1e-4)
    close([h["validation"] for h in whole.history], [h["validation"] for h in resumed.history], 1e-4)


if __name__ == "__main__":
    jax.config.update("jax_numpy_rank_promotion", "raise")
    small = crystals()
    updates_and_predictions(Bench(small))
    fits(small, Path(sys.argv[1]))
