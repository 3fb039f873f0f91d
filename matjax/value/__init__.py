"""Value: what is wanted (goals, utility), where to look (spaces), and who finds it (learner, proposers, acquisition)."""

from matjax.value.acquisition import Acquisition, Greedy, Picks, RandomPick, Thompson, UpperBound
from matjax.value.goals import DensityGoal, Goal, PriceGoal, PughGoal, StabilityGoal
from matjax.value.learner import ValueLearner
from matjax.value.memory import Memory, Reward
from matjax.value.partial import Estimate, pair_values, partial_values, ternary_values
from matjax.value.policy import Partial, Policy
from matjax.value.price import atomic_fractions, density, price_per_kg, price_table, weight_fractions
from matjax.value.properties import UNITS, Properties
from matjax.value.proposers import Context, Genetic, Proposer, Random, ValueGuided
from matjax.value.reward import Certainty, Entropic, LowerBound, Mean, Pessimism, calibrate, inflate, novelty_limit
from matjax.value.space import Alloys
from matjax.value.utility import Utility

__all__ = [
    "UNITS",
    "Acquisition",
    "Alloys",
    "Certainty",
    "Context",
    "DensityGoal",
    "Entropic",
    "Estimate",
    "Genetic",
    "Goal",
    "Greedy",
    "LowerBound",
    "Mean",
    "Memory",
    "Partial",
    "Pessimism",
    "Picks",
    "Policy",
    "PriceGoal",
    "Properties",
    "Proposer",
    "PughGoal",
    "Random",
    "RandomPick",
    "Reward",
    "StabilityGoal",
    "Thompson",
    "UpperBound",
    "Utility",
    "ValueGuided",
    "ValueLearner",
    "atomic_fractions",
    "calibrate",
    "density",
    "inflate",
    "novelty_limit",
    "pair_values",
    "partial_values",
    "price_per_kg",
    "price_table",
    "ternary_values",
    "weight_fractions",
]
