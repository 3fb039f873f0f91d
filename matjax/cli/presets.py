"""The sizes of a stress test that the command line offers, and what each leaves out."""

from __future__ import annotations

from matjax.data.shifts import LeaveElementOut, LeaveOut, Random
from matjax.data.split import Sizes
from matjax.stress_test import StressTest, StressTestConfig
from matjax.training.learner import GraphLearner

SIZES = {"quick": (400, 8, 200), "default": (1000, 12, 300), "full": (None, 20, None)}
"""Training crystals, epochs, test crystals; three quarters of the first two for data with forces, where a crystal holds many labels."""

EMBEDDED = (
    Random(),
    LeaveOut("anion", only="nitride"),
    LeaveOut("crystal_system", only="cubic"),
    LeaveElementOut("F"),
)

EMBEDDED_FULL = (Random(), LeaveOut("anion"), LeaveOut("crystal_system"), LeaveElementOut())


def preset(size: str, data: str, n: int, *, forces: bool = False) -> StressTestConfig:
    """Settings of a size ("quick", "default", "full") for a data set of n crystals, with or without forces.

    Parts that are only looked at are capped: a few hundred crystals tell an error to a few percent.
    """
    known, full = data == "flla", size == "full"
    max_train, n_epoch, most = SIZES[size]
    if forces and max_train:
        max_train, n_epoch = max_train * 3 // 4, n_epoch * 3 // 4
    share = lambda cap: min(0.1, cap / n) if most else 0.1
    fewest = min(0.3, 40 / n)  # intervals and the flag need two dozen calibration crystals, after a large domain is held out
    sizes = Sizes(
        max_train=max_train,
        validation=share(150 if size == "default" else 75),
        calibration=max(share(250 if size == "default" else 150), fewest),
        test_inside=share(most or n),
        target=0.1 if known else 0.0,
        max_test=most,
    )
    return StressTestConfig(
        data=data,
        shifts=(EMBEDDED_FULL if full else EMBEDDED) if known else (),
        sizes=sizes,
        learner=GraphLearner(n_epoch=n_epoch),
        test=StressTest(seeds=3, matched=99, leave_domain_out=99) if full else StressTest(),
    )


def budget(size: str, config: StressTestConfig) -> str:
    """What a run of this size leaves out, in words."""
    if size == "full":
        return "Full: all training crystals, every domain of at least 50 crystals, three seeds, second fits for every method."
    learner = config.learner
    n_epoch = learner.n_epoch if isinstance(learner, GraphLearner) else learner.pace.n_epoch
    scale = f"{config.sizes.max_train:,} training crystals, {n_epoch} epochs, one seed, second fits for the first method"
    return f"Quick: {scale}. For a look, not for a claim." if size == "quick" else f"Budgeted subset: {scale}. --full runs it all."
