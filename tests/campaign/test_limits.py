"""Hours and money as budgets: a campaign ends before it exceeds them, and goes on when they are raised."""

import dataclasses
import json
import math

import jax
import pytest

from matjax.campaign import Limits, discover, spent_hours
from matjax.campaign.config import DiscoverConfig
from matjax.campaign.records import read_records
from matjax.campaign.trace import open_read_only
from matjax.override import override
from matjax.types import Result
from matjax.value.acquisition import ExpectedImprovement
from matjax.value.proposers import Random
from tests.campaign.tiny import Remembered, Tiny


@dataclasses.dataclass(frozen=True)
class Dear(Remembered):
    """Every crystal takes half an hour."""

    def measure(self, crystals, **wanted) -> list[Result]:
        return [dataclasses.replace(r, cost=1800.0) for r in super().measure(crystals, **wanted)]


@pytest.fixture
def run(tmp_path_factory, tmp_path):
    memory = str(tmp_path_factory.getbasetemp() / "limits-memory")
    (tmp_path_factory.getbasetemp() / "limits-memory").mkdir(exist_ok=True)

    def run(limits, **settings):
        defaults = {"budget": 12, "batch": 4, "run_dir": tmp_path / "run", "key": jax.random.key(0), "pool": 10, "limits": limits}
        return discover(Tiny(), Dear(memory), Random(), ExpectedImprovement(), **(defaults | settings))

    return run


def test_hours_end_a_campaign_before_they_are_exceeded(run, tmp_path):
    """A candidate has two crystals: an hour."""
    trace = run(Limits(hours=6.5))
    assert len(trace.rows) == 6 and trace.reason == "6 oracle calls took 6 of 6.5 hours, and another would exceed them"
    with open_read_only(tmp_path / "run") as connection:
        assert spent_hours(read_records(connection)) == (pytest.approx(6.0), 6)


def test_money_is_hours_at_a_price_and_may_be_raised(run):
    assert len(run(Limits(money=10.0, price_per_hour=2.0)).rows) == 5
    more = run(Limits(money=14.0, price_per_hour=2.0))
    assert len(more.rows) == 7 and "14 of 14 spent" in more.reason
    assert len(run(None).rows) == 12


def test_picks_of_expected_improvement_say_so(run, tmp_path):
    run(None, budget=2, batch=2)
    rows = [json.loads(line) for line in (tmp_path / "run" / "trace.jsonl").read_text().splitlines()]
    assert {row["why"] for row in rows} == {"expected improvement"}


def test_limits_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="price_per_hour is 0"):
        Limits(money=100.0)
    with pytest.raises(ValueError, match="must be positive"):
        Limits(hours=0.0)
    assert Limits().n_left([]) == math.inf
    config = override(
        DiscoverConfig(), ["limits={hours=3.0, money=20.0, price_per_hour=10.0}", "acquisition={kind='expected_improvement'}"]
    )
    assert config.limits.hours_in_all == 2.0 and config.acquisition == ExpectedImprovement()
