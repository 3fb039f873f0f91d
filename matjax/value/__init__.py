"""Value: what is wanted (goals, utility), where to look (spaces), and who finds it (learner, proposers, acquisition)."""

from matjax.value.acquisition import Acquisition, ExpectedImprovement, Greedy, LargestCluster, Picks, RandomPick, Thompson, UpperBound
from matjax.value.alloys import Alloys
from matjax.value.audit import BestOfN, Exactness, PlantedHole, best_of_n, exactness, planted_hole
from matjax.value.botorch_peer import BoTorch
from matjax.value.brake import AuditState, Brake
from matjax.value.compounds import Compounds
from matjax.value.feasibility import Feasibility, FittedFeasibility
from matjax.value.gaussian_process import GaussianProcess
from matjax.value.goals import DensityGoal, Goal, PriceGoal, PughGoal, StabilityGoal
from matjax.value.kl_budget import divergence, policy_divergence, policy_temperature, temperature_within
from matjax.value.learner import ValueLearner
from matjax.value.memory import Memory, Reward
from matjax.value.pareto import hypervolume, non_dominated, non_dominated_sort
from matjax.value.pareto_learner import Goals, ParetoLearner, ParetoPolicy, preferred
from matjax.value.partial import Estimate, pair_values, partial_values, ternary_values
from matjax.value.policy import Partial, Policy
from matjax.value.price import atomic_fractions, density, price_per_kg, price_table, weight_fractions
from matjax.value.properties import UNITS, Properties
from matjax.value.proposers import Context, Genetic, Proposer, Random, ValueGuided
from matjax.value.read_formula import read_formula
from matjax.value.reward import Certainty, Entropic, LowerBound, Mean, Pessimism, calibrate, inflate, novelty_limit
from matjax.value.space import Space
from matjax.value.utility import Utility

__all__ = [
    "UNITS",
    "Acquisition",
    "Alloys",
    "AuditState",
    "BestOfN",
    "BoTorch",
    "Brake",
    "Certainty",
    "Compounds",
    "Context",
    "DensityGoal",
    "Entropic",
    "Estimate",
    "Exactness",
    "ExpectedImprovement",
    "Feasibility",
    "FittedFeasibility",
    "GaussianProcess",
    "Genetic",
    "Goal",
    "Goals",
    "Greedy",
    "LargestCluster",
    "LowerBound",
    "Mean",
    "Memory",
    "ParetoLearner",
    "ParetoPolicy",
    "Partial",
    "Pessimism",
    "Picks",
    "PlantedHole",
    "Policy",
    "PriceGoal",
    "Properties",
    "Proposer",
    "PughGoal",
    "Random",
    "RandomPick",
    "Reward",
    "Space",
    "StabilityGoal",
    "Thompson",
    "UpperBound",
    "Utility",
    "ValueGuided",
    "ValueLearner",
    "atomic_fractions",
    "best_of_n",
    "calibrate",
    "density",
    "divergence",
    "exactness",
    "hypervolume",
    "inflate",
    "non_dominated",
    "non_dominated_sort",
    "novelty_limit",
    "pair_values",
    "partial_values",
    "planted_hole",
    "policy_divergence",
    "policy_temperature",
    "preferred",
    "price_per_kg",
    "price_table",
    "read_formula",
    "temperature_within",
    "ternary_values",
    "weight_fractions",
]
