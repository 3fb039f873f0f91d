"""Every way of coming from PBE labels to another fidelity, on one draw of test systems and labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _networks import Fit, Table, initial, stacked, train
from _tasks import Side, Task
from sklearn.ensemble import HistGradientBoostingRegressor

from matjax.data.exposure import exposure
from matjax.keys import child, generator
from matjax.types import Crystal, Prediction
from matjax.uncertainty.few_labels import FORMS, FewLabels

Settings = dict[str, Any]


class Draw(NamedTuple):
    """Rows of the target: tests [n_test], and labelled ones in the order in which they are labelled; source rows by leak.

    `source["unseen"]` has no crystal of the tests' chemical systems, `source["seen"]` has all.
    """

    test: np.ndarray
    pool: np.ndarray
    source: dict[str, np.ndarray]


class Said(NamedTuple):
    """Predictions of the tests by one method: model, what the source model was trained on ("" for none), k, values, half-widths."""

    method: str
    model: str
    source: str
    k: int
    value: np.ndarray
    half_width: np.ndarray | None = None


def draw_of(task: Task, settings: Settings, key: jax.Array) -> Draw:
    """Holds a share of the target's chemical systems out."""
    draw = generator(child(key, "draw"))
    systems = draw.permutation(np.unique(task.target.system))
    held = systems[: round(settings["test_share"] * len(systems))]
    outside = np.isin(task.target.system, held)
    every = np.arange(len(task.source.value))
    unseen = every[~np.isin(task.source.system, held)]
    return Draw(np.flatnonzero(outside), draw.permutation(np.flatnonzero(~outside)), {"unseen": unseen, "seen": every})


def counts(settings: Settings, draw: Draw) -> list[int]:
    """Numbers of labels, the last cut to what there is."""
    return sorted({min(k, len(draw.pool)) for k in settings["labels"]})


def audit(task: Task, draw: Draw, source: str, k: int) -> dict[str, float]:
    """What the source model and the labels have in common with the tests."""
    names = lambda side, rows: side.dataset(rows)
    pretrained = names(task.source, draw.source[source] if source else draw.source["unseen"][:0])
    found = exposure(pretrained, names(task.target, draw.test), names(task.target, draw.pool[:k]), structures=task.structures)
    return {name: round(share, 4) for name, share in found.columns().items()}


def predictions(task: Task, settings: Settings, key: jax.Array, *, networks: bool = True) -> tuple[Draw, list[Said]]:
    """Answers of every method on the tests of one draw; without networks, of corrections of the PBE value alone."""
    draw = draw_of(task, settings, key)
    answers: dict[tuple[str, str], np.ndarray] = {("PBE value", ""): task.pbe}
    if not networks:
        return draw, list(_corrections(task, settings, draw, answers))
    for source, rows in draw.source.items():
        answers["trees", source] = _trees(task.source.features[rows], task.source.value[rows], key)(task.target.features)
    nets = _Networks(task, settings, draw, key)
    for source in draw.source:
        answers["network", source] = nets.source_answer(source)
    said = list(_corrections(task, settings, draw, answers))
    said += _tree_methods(task, settings, draw, answers, key)
    said += nets.methods()
    return draw, said


def _corrections(task: Task, settings: Settings, draw: Draw, answers: dict[tuple[str, str], np.ndarray]) -> Iterator[Said]:
    tests = [task.target.crystals[i] for i in draw.test]
    for (model, source), value in answers.items():
        yield Said("as is", model, source, 0, value[draw.test])
        predictor = _looked_up(task.target, value)
        for k in counts(settings, draw):
            for form in FORMS:
                corrected = FewLabels(form).fit(predictor, task.target.dataset(draw.pool[:k]))
                found = corrected(tests)
                width = corrected.interval(settings["level"]).half_width(found.total_std)
                yield Said(form, model, source, k, found.mean, width)


def _looked_up(side: Side, value: np.ndarray) -> Callable[[Sequence[Crystal]], Prediction]:
    """Values that are known already, as a predictor."""
    place = {id(c): i for i, c in enumerate(side.crystals)}
    return lambda crystals: Prediction(value[[place[id(c)] for c in crystals]][None], unit="unknown")


def _tree_methods(task: Task, settings: Settings, draw: Draw, answers: dict[tuple[str, str], np.ndarray], key: jax.Array) -> Iterator[Said]:
    x, y = task.target.features, task.target.value
    for k in counts(settings, draw):
        rows = draw.pool[:k]
        yield Said("separate", "trees", "", k, _trees(x[rows], y[rows], key)(x[draw.test]))
        for (model, source), value in answers.items():
            if model == "network":
                continue
            with_value = np.concatenate([x, value[:, None]], 1)
            yield Said("PBE as a feature", f"trees, {model}", source, k, _trees(with_value[rows], y[rows], key)(with_value[draw.test]))
            difference = _trees(x[rows], (y - value)[rows], key)(x[draw.test])
            yield Said("difference", f"trees, {model}", source, k, value[draw.test] + difference)


def _trees(x: np.ndarray, y: np.ndarray, key: jax.Array) -> Callable[[np.ndarray], np.ndarray]:
    seed = int(generator(child(key, "trees")).integers(1 << 31))
    smallest = min(20, max(2, len(y) // 10))
    trees = HistGradientBoostingRegressor(max_iter=150, max_bins=128, max_features=0.3, min_samples_leaf=smallest, random_state=seed)
    return trees.fit(x, y).predict


class _Networks:
    """The networks of one draw: two source models, then all fits on the target side by side."""

    def __init__(self, task: Task, settings: Settings, draw: Draw, key: jax.Array) -> None:
        self.task, self.settings, self.draw, self.key = task, settings, draw, key
        self.numbers = generator(child(key, "networks"))
        known = draw.source["unseen"]
        mean, std = task.source.features[known].mean(0), task.source.features[known].std(0)
        self.centre, self.unit = float(task.source.value[known].mean()), float(task.source.value[known].std())
        clipped = lambda x: np.clip((x - mean) / np.where(std > 1e-9, std, 1.0), -5, 5)
        pbe = (task.pbe - self.centre) / self.unit
        n_source, n_target = len(task.source.value), len(task.target.value)
        source = np.c_[clipped(task.source.features), np.zeros((n_source, 2))]
        target = np.c_[clipped(task.target.features), pbe, np.ones(n_target)]
        y = (np.concatenate([task.source.value, task.target.value]) - self.centre) / self.unit
        fidelity = np.repeat([0, 1], [n_source, n_target])
        self.table = Table(jnp.asarray(np.r_[source, target], jnp.float32), jnp.asarray(y, jnp.float32), jnp.asarray(fidelity))
        self.asked, self.first = jnp.asarray(target, jnp.float32), n_source
        self.fresh = initial(child(key, "initial"), task.source.features.shape[1], settings["source"]["width"])
        self.start, self.answer = self._source_models()

    def source_answer(self, source: str) -> np.ndarray:
        """Answers of the source network on every target crystal."""
        return self.answer[source]

    def _source_models(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        one = self.settings["source"]
        shape = (one["steps"], one["batch"])
        rows = self.draw.source.items()
        fits = [Fit(self.fresh, self.numbers.choice(r, shape), 0.0, 0.0, True, 0.0, one["rate"], 0.0) for _, r in rows]
        params, answers = train(stacked(fits), self.table, self.asked, child(self.key, "train"), (one["steps"],), True)
        each = {source: jax.tree.map(lambda p, i=i: p[i], params) for i, source in enumerate(self.draw.source)}
        return each, {source: self._in_units(answers[i, -1]) for i, source in enumerate(self.draw.source)}

    def methods(self) -> Iterator[Said]:
        """Separate, PBE value as a feature, fine-tuned, domain-adversarial and conditioned, each chosen by its own folds."""
        target = self.settings["target"]
        middle = target["fine_tuned"][1]
        for k in counts(self.settings, self.draw):
            yield from self._method("separate", "", k, [dict(rate=r) for r in target["separate"]])
            yield from self._method("PBE as a feature", "", k, [dict(rate=r, use_pbe=1.0) for r in target["separate"]])
            yield from self._method("fine-tuned", "both", k, [dict(rate=r) for r in target["fine_tuned"]])
            yield from self._method("fine-tuned, adversarial", "both", k, [dict(rate=middle, strength=s) for s in target["dann"]])
            conditioned = [dict(rate=r, use_fidelity=1.0, learn_source=True) for r in target["conditioned"]]
            yield from self._method("conditioned", "both", k, conditioned)

    def _method(self, name: str, source: str, k: int, options: list[dict[str, Any]]) -> Iterator[Said]:
        """One method at one number of labels: every setting on every fold and on all labels, from every source model."""
        sources = tuple(self.draw.source) if source else ("",)
        labelled = self.draw.pool[:k]
        folds = self._folds(labelled)
        with_source = any("strength" in o or "learn_source" in o for o in options)
        fits = [
            self._fit(one, option, labelled[folds != fold], with_source)
            for one in sources
            for option in options
            for fold in range(self.settings["folds"] + 1)  # the last leaves nothing out
        ]
        checkpoints = tuple(self.settings["target"]["checkpoints"])
        _, answers = train(stacked(fits), self.table, self.asked, child(self.key, "train"), checkpoints, False)
        answers = self._in_units(answers).reshape(len(sources), len(options), self.settings["folds"] + 1, len(checkpoints), -1)
        for one, found in zip(sources, answers, strict=True):
            value = self.task.target.value[labelled]
            own = found[:, folds, :, labelled]  # [n_labelled, n_option, n_checkpoint]: by the fit that left the crystal out
            error = np.abs(own - value[:, None, None]).mean(0)
            option, checkpoint = np.unravel_index(np.argmin(error), error.shape)
            yield Said(name, "network", one, k, found[option, -1, checkpoint, self.draw.test])

    def _fit(self, source: str, option: dict[str, Any], labelled: np.ndarray, with_source: bool) -> Fit:
        one = {"use_pbe": 0.0, "use_fidelity": 0.0, "learn_source": False, "strength": 0.0} | option
        shape = (self.settings["target"]["checkpoints"][-1], self.settings["target"]["batch"])
        batches = self.first + self.numbers.choice(labelled, shape)
        if with_source:
            batches = np.concatenate([batches, self.numbers.choice(self.draw.source[source], shape)], 1)
        mean = (self.task.target.value[labelled].mean() - self.centre) / self.unit
        start, shift = (self.start[source], 0.0) if source else (self.fresh, float(mean))
        return Fit(start, batches, shift=shift, **one)

    def _folds(self, labelled: np.ndarray) -> np.ndarray:
        """A fold per labelled crystal, by chemical system."""
        names, member = np.unique(self.task.target.system[labelled], return_inverse=True)
        return self.numbers.permutation(np.arange(len(names)) % self.settings["folds"])[member]

    def _in_units(self, answers: Any) -> np.ndarray:
        return np.asarray(answers, np.float64) * self.unit + self.centre
