"""A cheap oracle screens and a dear one confirms: by its own known set, resumable, with candidates that the cheap one did not prefer."""

import jax
import numpy as np
import pytest
from scipy.stats import spearmanr

from matjax.campaign import CampaignStopped, confirm, discover, read_trace
from matjax.campaign.confirm import _spread
from matjax.simulate import Laboratory
from matjax.value.acquisition import Greedy
from matjax.value.proposers import Random
from tests.campaign.tiny import ELEMENTS, Remembered, Tiny, Unruly


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    return str(tmp_path_factory.mktemp("memory"))


@pytest.fixture(scope="module")
def cheap(memory, tmp_path_factory):
    """Nine of thirty alloys by EMT."""
    folder = tmp_path_factory.mktemp("cheap") / "run"
    discover(Tiny(), Remembered(memory), Random(), Greedy(), budget=9, batch=3, run_dir=folder, key=jax.random.key(0), pool=10)
    return folder


def test_the_best_and_some_others_are_measured_in_the_dear_landscape(cheap, tmp_path):
    found = confirm(cheap, Tiny(), Laboratory(), n=3, others=3, folder=tmp_path / "dear")
    ranked = sorted(read_trace(cheap).rows, key=lambda row: -row["utility"])
    assert [row["key"] for row in found.rows[:3]] == [row["key"] for row in ranked[:3]]
    assert [row["chosen"] for row in found.rows] == ["best"] * 3 + ["spread"] * 3
    assert found.rows[-1]["key"] == ranked[-1]["key"]
    dear = read_trace(tmp_path / "dear")
    assert dear.meta["oracle"].startswith("laboratory") and len(dear.rows) == 6
    assert all(row["dear_utility"] != row["cheap_utility"] for row in found.rows)
    by_hand = spearmanr(*np.array([(r["cheap_utility"], r["dear_utility"]) for r in found.rows]).T).statistic
    assert found.rank_correlation == pytest.approx(by_hand)
    assert len(read_trace(cheap).rows) == 9  # nothing flows back


def test_an_interrupted_confirmation_goes_on(cheap, memory, tmp_path):
    """The dear oracle breaks twice at an alloy of the list: what was measured is kept."""

    class Named(Unruly):
        name = "dear"

    stops = Named(memory, str(tmp_path), (("Ag Au", "raise", 1000),))
    with pytest.raises(CampaignStopped):
        confirm(cheap, Tiny(), stops, n=9, others=0, folder=tmp_path / "dear")
    asked = len((tmp_path / "asked.log").read_text().split())
    found = confirm(cheap, Tiny(), Named(memory, str(tmp_path)), n=9, others=0, folder=tmp_path / "dear")
    again = len((tmp_path / "asked.log").read_text().split()) - asked
    assert found.rank_correlation == pytest.approx(1.0)  # it is the same physics
    assert all(row["dear_utility"] == pytest.approx(row["cheap_utility"]) for row in found.rows)
    assert asked >= 2 * len(ELEMENTS) and again < 2 * (len(ELEMENTS) + 9)


def test_what_cannot_be_confirmed_is_refused(cheap, memory, tmp_path):
    with pytest.raises(ValueError, match="name another oracle"):
        confirm(cheap, Tiny(), Remembered(memory))
    with pytest.raises(ValueError, match="at least 1"):
        confirm(cheap, Tiny(), Laboratory(), n=0)
    with pytest.raises(ValueError, match="no campaign"):
        confirm(tmp_path, Tiny(), Laboratory())


def test_the_spread_covers_the_rest_of_the_ranking():
    assert list(_spread(3, 9, 3)) == [3, 6, 8]
    assert list(_spread(3, 4, 5)) == [3] and list(_spread(3, 3, 5)) == [] and list(_spread(3, 9, 0)) == []
