"""Schedules against optax and against the formulas they are named after."""

import numpy as np
import optax
import pytest

from matjax.override import override
from matjax.training.optimizer import AdamW
from matjax.training.schedule import Constant, Cosine, Exponential, Linear

N, PEAK = 200, 3e-3


def values(schedule) -> np.ndarray:
    step_size = schedule.build(PEAK, float(N))
    return np.array([float(step_size(i)) for i in range(N)])


def test_the_default_is_warm_up_and_half_a_cosine() -> None:
    done = (np.arange(N) + 1) / N
    expected = np.where(done < 0.05, done / 0.05, 0.5 * (1 + np.cos(np.pi * np.clip((done - 0.05) / 0.95, 0, 1))))
    np.testing.assert_allclose(values(Cosine()), PEAK * expected, rtol=2e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("schedule", "twin"),
    [
        (Cosine(0.0, 0.1), optax.cosine_decay_schedule(PEAK, N, alpha=0.1)),
        (Linear(0.0, 0.2), optax.linear_schedule(PEAK, 0.2 * PEAK, N)),
        (Exponential(0.0, 0.01), optax.exponential_decay(PEAK, N, 0.01)),
        (Constant(), optax.constant_schedule(PEAK)),
        (Linear(0.5, 1.0), optax.warmup_constant_schedule(0.0, PEAK, N // 2)),
    ],
    ids=["cosine", "linear", "exponential", "constant", "warm-up"],
)
def test_is_that_of_optax(schedule, twin) -> None:
    np.testing.assert_allclose(values(schedule), [float(twin(i + 1)) for i in range(N)], rtol=1e-5)


@pytest.mark.parametrize("schedule", [Cosine(0.1, 0.2), Linear(0.1, 0.2), Exponential(0.1, 0.2), Constant(0.1)])
def test_rises_to_the_peak_and_ends_where_it_says(schedule) -> None:
    found = values(schedule)
    assert found.argmax() == N // 10 - 1 and found.max() == pytest.approx(PEAK)
    assert found[0] == pytest.approx(PEAK * 10 / N)
    assert found[-1] == pytest.approx(PEAK * getattr(schedule, "final", 1.0), rel=1e-4)


def test_comes_from_settings() -> None:
    found = override(AdamW(), ["schedule.kind=linear", "schedule.final=0.1"])
    assert found.schedule == Linear(final=0.1)


def test_refusals() -> None:
    for schedule in (Cosine, Linear, Exponential, Constant):
        with pytest.raises(ValueError, match="warmup of the schedule is 1"):
            schedule(warmup=1.0)
    with pytest.raises(ValueError, match="final of the schedule is -0.5"):
        Cosine(final=-0.5)
    with pytest.raises(ValueError, match="never gets there"):
        Exponential(final=0.0)
