"""The peer from BoTorch: it says what it lacks, and keeps the contract of a proposer."""

import importlib.util

import jax
import numpy as np
import pytest

from matjax.campaign.config import DiscoverConfig
from matjax.toml import from_toml, to_toml
from matjax.value import BoTorch, Context, GaussianProcess, Random
from matjax.value.gaussian_process import SCORES
from tests.value.alloys import SMALL, regular_solution

REWARD = regular_solution(SMALL)
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # GPyTorch's own, at import
needs_botorch = pytest.mark.skipif(importlib.util.find_spec("botorch") is None, reason="needs BoTorch: pip install 'matjax[botorch]'")


def context(n: int, seed: int) -> Context:
    lattice, counts = SMALL.sample_uniform(n, jax.random.key(seed))
    kept = {c.key: (c, float(r)) for c, r in zip(SMALL.decode(lattice, counts), REWARD(lattice, counts), strict=True)}
    return Context(SMALL, None, tuple(kept.values()), frozenset(kept))


def test_without_the_package_it_says_how_to_get_it_before_anything_is_measured(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "botorch" else find(name, *more))
    told = r"the proposer botorch needs an extra that is not installed: pip install 'matjax\[botorch\]'"
    with pytest.raises(ValueError, match=told):
        DiscoverConfig(proposer=BoTorch()).check()
    with pytest.raises(ValueError, match=told):
        BoTorch().propose(2, context(20, 0), jax.random.key(0))


def test_it_is_named_in_toml():
    read = from_toml('[proposer]\nkind = "botorch"\nscore = "upper_bound"\nn_draw = 64', DiscoverConfig)
    assert read.proposer == BoTorch(score="upper_bound", n_draw=64) and from_toml(to_toml(read), DiscoverConfig) == read


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"score": "probability"}, "allowed: upper_bound"),
        ({"n_pool": 1}, "at least 2"),
        ({"kappa": -1.0}, "kappa"),
        ({"n_draw": 0}, "n_draw"),
    ],
)
def test_wrong_settings_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        BoTorch(**wrong)


@needs_botorch
@pytest.mark.parametrize("score", SCORES)
def test_it_finds_more_than_chance_and_the_same_again(score):
    known, key = context(40, 2), jax.random.key(0)
    worth = lambda found: REWARD(*SMALL.encode(found))
    proposer = BoTorch(score=score, n_pool=128)
    found = proposer.propose(6, known, key)
    assert len({c.key for c in found}) == 6 and SMALL.contains(found).all() and not {c.key for c in found} & known.seen
    assert worth(found).mean() > np.quantile(worth(Random().propose(200, known, key)), 0.9)
    assert proposer.propose(6, known, key) == found


@needs_botorch
def test_its_first_pick_by_upper_bound_is_near_the_best_of_ours():
    """Two implementations, other priors: the first pick of one is among the best tenth of the other's bounds."""
    known, key = context(80, 4), jax.random.key(1)
    pick = lambda proposer: proposer.propose(1, known, key)[0]
    ours = GaussianProcess(n_pool=128).propose(13, known, key)
    assert pick(BoTorch(score="upper_bound", n_pool=128, n_draw=512)) in ours


@needs_botorch
def test_the_score_of_one_candidate_is_the_logarithm_of_its_expected_improvement():
    """Drawn, against the closed form on BoTorch's own mean and spread, where an improvement is not out of reach."""
    import torch  # pyright: ignore[reportMissingImports]

    from matjax.value.gaussian_process import expected_improvement, features

    known = context(12, 5)
    x = torch.tensor(features([c for c, _ in known.history], SMALL), dtype=torch.double)
    y = torch.tensor([u for _, u in known.history], dtype=torch.double)[:, None]
    acquisition = BoTorch(n_draw=4096)._acquisition(x, y, 0)
    pool = torch.tensor(features(Random().propose(200, known, jax.random.key(0)), SMALL), dtype=torch.double)
    with torch.no_grad():
        told, belief = acquisition(pool[:, None]).numpy(), acquisition.model.posterior(pool)
    wanted = expected_improvement(belief.mean[:, 0].numpy(), belief.variance[:, 0].sqrt().numpy(), float(y.max()))
    within = wanted > 0.05 * y.std().item()
    assert within.sum() >= 5
    np.testing.assert_allclose(told[within], np.log(wanted[within]), atol=0.05)


@needs_botorch
def test_where_nothing_is_left_nothing_is_proposed_and_few_measurements_are_chance():
    known = context(20, 3)
    seen = frozenset(c.key for c in SMALL.decode(*SMALL.enumerate()))
    assert BoTorch(n_pool=64).propose(3, Context(SMALL, None, known.history, seen), jax.random.key(0)) == []
    assert len(BoTorch(n_pool=64, fewest=50).propose(3, known, jax.random.key(0))) == 3
