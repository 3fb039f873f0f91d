"""The loop: it learns, it can be interrupted, it stops, and it takes no state but its own."""

import dataclasses
import signal

import jax
import numpy as np
import pytest

from matjax.interrupt import interrupt_afterwards
from matjax.risk import Risk, VREx
from matjax.training import AdamW

KEY = jax.random.key(0)


def same_parameters(a, b) -> None:
    jax.tree.map(np.testing.assert_array_equal, a.params, b.params)


def test_the_error_on_real_crystals_falls(learner, visible) -> None:
    predictor = learner(dataclasses.replace(visible, validation=visible.train), KEY)
    labels = visible.train.labels["formation_energy_per_atom"]
    before = np.abs(predictor.references.per_atom(visible.train.crystals) - labels).mean()
    after = np.abs(predictor(visible.train.crystals).mean - labels).mean()
    assert after < 0.7 * before
    assert min(h["validation"] for h in predictor.history) < predictor.history[0]["validation"]
    assert [h["epoch"] for h in predictor.history] == list(range(1, len(predictor.history) + 1))


def test_an_interrupted_fit_goes_on_to_the_same_result(learner, visible, predictor, tmp_path) -> None:
    def interrupt(record: dict) -> None:
        if record["epoch"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learner.fit(visible, KEY, run_dir=tmp_path, report=interrupt)
    seen = []
    resumed = learner.fit(visible, KEY, run_dir=tmp_path, report=seen.append)
    assert seen[0]["epoch"] == 5, "four epochs were kept"
    same_parameters(predictor, resumed)
    assert [h["validation"] for h in resumed.history] == [h["validation"] for h in predictor.history]
    again = learner.fit(visible, KEY, run_dir=tmp_path, report=lambda record: pytest.fail("a finished fit has nothing left to do"))
    same_parameters(again, resumed)


def test_a_fit_that_stands_still_stops_and_stays_stopped(learner, visible, tmp_path) -> None:
    still = dataclasses.replace(learner, optimizer=AdamW(0.0), patience=2)
    first = still.fit(visible, KEY, run_dir=tmp_path)
    assert len(first.history) == 3, "the best epoch and two more"
    again = still.fit(visible, KEY, run_dir=tmp_path, report=lambda record: pytest.fail("it had stopped"))
    assert again.history == first.history
    same_parameters(first, again)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"members": 1}, "members was 2 and is now 1"),
        ({"optimizer": AdamW(2e-2)}, "plan.optimizer.learning_rate was 0.01 and is now 0.02"),
        ({"n_epoch": 30}, "plan.n_step was .* and is now"),
        ({"bootstrap": 1.0}, "plan.bootstrap was 0.0 and is now 1.0"),
        ({"risk": Risk(VREx())}, "plan.risk.base.kind was erm and is now vrex"),
        ({"choose_by": "worst_domain"}, "choose_by was mean and is now worst_domain"),
    ],
    ids=["members", "learning rate", "epochs", "bootstrap", "risk", "choice"],
)
def test_the_state_of_other_settings_is_refused_by_name(learner, visible, tmp_path, change, says) -> None:
    dataclasses.replace(learner, n_epoch=2).fit(visible, KEY, run_dir=tmp_path)
    with pytest.raises(ValueError, match=f"cannot be resumed: {says}"):
        dataclasses.replace(learner, **{"n_epoch": 2, **change}).fit(visible, KEY, run_dir=tmp_path)


def test_the_state_of_other_crystals_or_another_key_is_refused(learner, visible, tmp_path) -> None:
    short = dataclasses.replace(learner, n_epoch=2)
    short.fit(visible, KEY, run_dir=tmp_path)
    fewer = dataclasses.replace(visible, train=visible.train.select(range(20)))
    for arguments, says in (((fewer, KEY), "crystals"), ((visible, jax.random.key(1)), "key was .* and is now")):
        with pytest.raises(ValueError, match=f"cannot be resumed: .*{says}"):
            short.fit(*arguments, run_dir=tmp_path)


def test_a_warm_start_goes_on_from_the_ensemble_it_is_given(learner, visible, predictor) -> None:
    labels = visible.train.labels["formation_energy_per_atom"]
    error = lambda p: np.abs(p(visible.train.crystals).mean - labels).mean()
    again = dataclasses.replace(learner, n_epoch=1)
    warm, cold = again.fit(visible, jax.random.key(5), start=predictor), again.fit(visible, jax.random.key(5))
    assert error(warm) < 0.5 * (error(cold) + error(predictor)), "one epoch more is near where it started, not near a beginner"
    np.testing.assert_array_equal(warm.references.energies, predictor.references.energies)
    assert warm.shape == predictor.shape and warm.constants == predictor.constants
    still = dataclasses.replace(again, optimizer=AdamW(0.0, weight_decay=0.0)).fit(visible, KEY, start=predictor)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), still.params, predictor.params)
    with pytest.raises(ValueError, match="start has 2 members; this learner trains 3"):
        dataclasses.replace(learner, members=3).fit(visible, KEY, start=predictor)


def test_a_state_from_another_start_is_refused(learner, visible, predictor, tmp_path) -> None:
    short = dataclasses.replace(learner, n_epoch=2)
    short.fit(visible, KEY, start=predictor, run_dir=tmp_path)
    with pytest.raises(ValueError, match="cannot be resumed: .*parameters at the start are others"):
        short.fit(visible, KEY, run_dir=tmp_path)


def test_updates_that_are_never_finite_end_the_fit(learner, visible) -> None:
    with pytest.raises(FloatingPointError, match="updates were skipped.*lower the learning rate"):
        dataclasses.replace(learner, optimizer=AdamW(1e38))(visible, KEY)


def test_a_split_without_labels_or_neighbours_is_refused(learner, visible) -> None:
    blank = dataclasses.replace(visible.validation, labels={"formation_energy_per_atom": np.full(len(visible.validation), np.nan)})
    with pytest.raises(ValueError, match="absent .NaN. on all 6"):
        learner(dataclasses.replace(visible, validation=blank), KEY)
    with pytest.raises(ValueError, match="a part of the split is empty"):
        learner(dataclasses.replace(visible, validation=visible.validation.select([])), KEY)
    with pytest.raises(ValueError, match="raise model.cutoff"):
        dataclasses.replace(learner, model=dataclasses.replace(learner.model, cutoff=0.5))(visible, KEY)


def test_ctrl_c_waits_for_a_save() -> None:
    done, before = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        with interrupt_afterwards():
            signal.raise_signal(signal.SIGINT)
            done.append("saved")
    assert done == ["saved"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_member_is_told_nothing_by_the_crystals_held_from_it(learner, visible) -> None:
    """Not even by its reference energies: other labels of those crystals leave them as they are."""
    held = np.zeros(len(visible.train), int)
    held[:8] = 0b1
    name = "formation_energy_per_atom"
    other = np.array(visible.train.labels[name])
    other[:8] += 3.0
    changed = dataclasses.replace(visible, train=dataclasses.replace(visible.train, labels={name: other}))
    short = dataclasses.replace(learner, n_epoch=1)
    one, two = (short.fit(v, KEY, held_from=held) for v in (visible, changed))
    total = lambda p: p.references.energies + p.own_references
    np.testing.assert_allclose(total(one)[0], total(two)[0], atol=1e-9)
    assert np.abs(total(one)[1] - total(two)[1]).max() > 0.1


def test_labels_above_other_references_are_refused(learner, visible) -> None:
    start = dataclasses.replace(learner, n_epoch=1).fit(visible, KEY)
    shifted = {name: column - 5.0 for name, column in visible.train.labels.items()}
    moved = dataclasses.replace(visible, train=dataclasses.replace(visible.train, labels=shifted))
    with pytest.raises(ValueError, match="other reference energies"):
        learner.fit(moved, KEY, start=start)


def test_what_goes_on_from_a_network_still_knows_its_elements(learner, visible) -> None:
    start = dataclasses.replace(learner, n_epoch=1).fit(visible, KEY)
    few = dataclasses.replace(visible, train=visible.train.select(range(4)))
    taught = dataclasses.replace(learner, n_epoch=1).fit(few, KEY, start=start).supervision
    assert set(taught.elements) == set(start.supervision.elements)
