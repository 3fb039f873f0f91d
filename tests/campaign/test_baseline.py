"""Curves of proposers without a model: the same measurements, many seeds at once."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import pytest

from matjax.campaign import Measured, discover, read_measured, run_baseline
from matjax.types import Candidate
from matjax.value.proposers import Genetic, Random
from tests.campaign.tiny import SPACE, Tiny, Unruly


@pytest.fixture(scope="module")
def memory(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("memory"))


@pytest.fixture
def known(memory, tmp_path) -> dict[str, Measured]:
    results = {c: tuple(Unruly(memory, str(tmp_path)).measure(Tiny().cells(c), elastic=True, frames=True)) for c in Tiny().known()}
    (tmp_path / "asked.log").unlink()
    return {c.key: Measured(c, found) for c, found in results.items()}


def curves(memory: str, state: Path, known, proposer=Random(), *how, **settings) -> list[dict[str, Any]]:  # noqa: B008
    defaults = {"budget": 7, "batch": 3, "seeds": 3, "key": jax.random.key(0)}
    return run_baseline(proposer, Tiny(), Unruly(memory, str(state), how), known=known, **(defaults | settings))


@pytest.mark.parametrize("proposer", [Random(), Genetic()])
def test_seeds_differ_repeat_and_measure_each_candidate_once(memory, tmp_path, known, proposer):
    first = curves(memory, tmp_path, known, proposer)
    assert [len(curve["utility"]) for curve in first] == [7, 7, 7] and [curve["seed"] for curve in first] == [0, 1, 2]
    assert len({tuple(curve["utility"]) for curve in first}) == 3
    asked = Counter((tmp_path / "asked.log").read_text().split())
    assert sum(asked.values()) % 2 == 0 and sum(asked.values()) < 2 * 21  # fewer than calls: seeds share what they ask for
    assert curves(memory, tmp_path, known, proposer) == first
    assert curves(memory, tmp_path, known, proposer, seeds=1) == first[:1]  # a seed does not depend on the others


def test_failures_are_charged_as_none(memory, tmp_path, known):
    plain = curves(memory, tmp_path, known)
    spoiled = curves(memory, tmp_path, known, Random(), ("Ag Cu", "transform", 1000))
    assert any(None in curve["utility"] for curve in spoiled)
    for a, b in zip(plain, spoiled, strict=True):  # the random proposer does not look at what it finds
        assert all(v in (u, None) for u, v in zip(a["utility"], b["utility"], strict=True))


def test_a_space_that_ends_ends_the_curve(memory, tmp_path, known):
    (curve,) = curves(memory, tmp_path, known, budget=100, batch=50, seeds=1)
    assert len(curve["utility"]) == SPACE.n_leaf


def test_utilities_are_those_of_a_campaign(memory, tmp_path, known):
    class Fixed:
        def propose(self, n, context, key):
            found = SPACE.decode(*SPACE.enumerate())
            return [c for c in found if c.key not in context.seen][:n]

    (curve,) = curves(memory, tmp_path, known, Fixed(), seeds=1)
    oracle = Unruly(memory, str(tmp_path))
    trace = discover(Tiny(), oracle, Fixed(), None, budget=7, batch=3, run_dir=tmp_path / "run", key=jax.random.key(0))
    assert curve["utility"] == pytest.approx(trace.utility, rel=1e-14)
    assert read_measured(tmp_path / "run", known=True).keys() == known.keys()


def test_the_genetic_proposer_sees_what_was_measured(memory, tmp_path, known):
    seen: list[list[tuple[Candidate, float]]] = []

    @dataclasses.dataclass(frozen=True)
    class Watching:
        def propose(self, n, context, key):
            seen.append(list(context.history))
            return Random().propose(n, context, key)

    (curve,) = curves(memory, tmp_path, known, Watching(), seeds=1)
    assert [len(history) for history in seen] == [4, 7, 10]
    assert [utility for _, utility in seen[-1][4:]] == curve["utility"][:6]
