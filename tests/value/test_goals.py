"""Goals: half where they are just met, no reward for overshooting, no mercy for an unstable lattice."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.toml import from_toml, to_toml
from matjax.value.goals import DEEPEST, DensityGoal, PriceGoal, PughGoal, StabilityGoal, log_logistic
from matjax.value.utility import Utility, log_born_gate

ALL = Utility((StabilityGoal(), PughGoal(), PriceGoal(), DensityGoal(at_least=6.0, at_most=9.0)))
GOOD = {"stability": -0.05, "pugh_ratio": 3.0, "born": 50.0, "price": 2.0, "density": 7.5}


def random_properties(n=(4, 50), seed=0):
    random = np.random.default_rng(seed)
    return {
        "stability": random.normal(0.0, 0.05, n),
        "pugh_ratio": random.uniform(0.5, 6.0, n),
        "born": random.uniform(-20.0, 60.0, n),
        "price": np.exp(random.uniform(0.0, 11.0, n)),
        "density": random.uniform(2.0, 20.0, n),
    }


@pytest.mark.parametrize(
    ("goal", "properties"),
    [
        (StabilityGoal(threshold=0.01), {"stability": 0.01}),
        (PriceGoal(wanted=30.0), {"price": 30.0}),
        (DensityGoal(at_most=8.0), {"density": 8.0}),
        (DensityGoal(at_most=None, at_least=8.0), {"density": 8.0}),
    ],
)
def test_half_where_just_met(goal, properties):
    assert np.exp(goal.log_desirability(properties)) == pytest.approx(0.5, abs=1e-3)


def test_log_logistic_is_log_sigmoid_with_a_floor():
    z = np.linspace(-5, 30, 200)
    np.testing.assert_allclose(log_logistic(z), -np.log1p(np.exp(-z)), atol=0.2)
    np.testing.assert_allclose(log_logistic(z[z > 0]), -np.log1p(np.exp(-z[z > 0])), atol=1e-3)
    far = log_logistic(-np.logspace(0, 6, 100))
    assert (np.diff(far) < 0).all() and far.min() >= -DEEPEST


def test_stability_is_monotone_and_bounded():
    found = StabilityGoal().log_desirability({"stability": np.linspace(-0.2, 2.0, 300)})
    assert (np.diff(found) < 0).all() and found.max() < 0 and found.max() > -1e-6


def test_pugh_rises_and_is_one_from_saturation_on():
    goal = PughGoal(wanted=1.75, saturation=2.5, scale=0.15)
    ratio = np.linspace(-3.0, 2.5, 300)
    found = goal.log_desirability({"pugh_ratio": ratio})
    assert (np.diff(found) > 0).all()
    np.testing.assert_array_equal(goal.log_desirability({"pugh_ratio": np.array([2.5, 2.6, 6.0, 1e6])}), 0.0)
    assert np.exp(goal.log_desirability({"pugh_ratio": 1.75})) == pytest.approx(0.54, abs=0.01)
    naive = [2.5 - ((2.5 - r) ** 2 / 1.5 if 2.5 - r < 0.75 else 2.5 - r - 0.375) for r in ratio]  # e(r) of the docstring
    sigmoid = lambda r: 1 / (1 + np.exp(-(np.array(r) - (2.5 - 0.375)) / 0.15))
    near = np.abs(ratio - 2.0) < 0.5
    np.testing.assert_allclose(np.exp(found[near]), (sigmoid(naive) / sigmoid(2.5))[near], rtol=0.01)


def test_an_unstable_lattice_is_below_every_stable_one():
    for weight in (1.0, 50.0):
        utility = dataclasses.replace(ALL, goals=(*ALL.goals[:1], PughGoal(weight=weight), *ALL.goals[2:]))
        dreadful = utility.log_utility({"stability": 5.0, "pugh_ratio": 0.01, "born": 8.0, "price": 1e9, "density": 30.0})
        perfect_but_unstable = utility.log_utility(GOOD | {"born": -0.01})
        assert perfect_but_unstable < dreadful - 15
        assert utility.log_utility(GOOD | {"born": 0.0}) < dreadful - 15


def test_the_gate_is_monotone_smooth_and_open_for_soft_metals():
    born = np.linspace(-200, 60, 5000)
    gate = log_born_gate(born, 3.0)
    slope = np.diff(gate) / np.diff(born)
    assert (slope >= 0).all() and (slope[born[:-1] < -0.5] > 1e-4).all() and slope.max() < 25
    assert log_born_gate(8.0, 3.0) > -0.01 and gate.min() > -60.1


def test_utility_is_the_geometric_mean_times_the_gate():
    properties = random_properties()
    weighted = Utility((StabilityGoal(weight=2.0), PughGoal(weight=0.5), PriceGoal()))
    desirability = [np.exp(goal.log_desirability(properties)) for goal in weighted.goals]
    mean = (desirability[0] ** 2.0 * desirability[1] ** 0.5 * desirability[2]) ** (1 / 3.5)
    np.testing.assert_allclose(weighted.utility(properties), mean * np.exp(log_born_gate(properties["born"], 3.0)), rtol=1e-12)
    scaled = Utility(tuple(dataclasses.replace(goal, weight=10 * goal.weight) for goal in weighted.goals))
    np.testing.assert_allclose(scaled.log_utility(properties), weighted.log_utility(properties), rtol=1e-12)


def test_contributions_sum_and_are_never_positive():
    properties = random_properties()
    found = ALL.contributions(properties)
    assert list(found) == ["stability", "pugh", "price", "density", "born"]
    assert all((part <= 0).all() for part in found.values())
    np.testing.assert_allclose(sum(found.values()), ALL.log_utility(properties), rtol=1e-12)
    assert (ALL.utility(properties) > 0).all() and (ALL.utility(properties) <= 1).all()
    assert ALL.utility(GOOD) > 0.9


def test_no_gate_without_a_goal_that_needs_it():
    assert Utility((StabilityGoal(),)).contributions({"stability": 0.0}).keys() == {"stability"}


def test_jax_agrees_with_numpy_and_gradients_with_differences():
    properties = random_properties((3, 20))
    with jax.enable_x64(True):
        arrays = {name: jnp.asarray(value) for name, value in properties.items()}
        np.testing.assert_allclose(jax.jit(ALL.log_utility)(arrays), ALL.log_utility(properties), rtol=1e-12)
        slope = jax.grad(lambda p: ALL.log_utility(p).sum())(arrays)
    for name, value in properties.items():
        step = 1e-6 * np.maximum(np.abs(value), 1e-2)
        up, down = (ALL.log_utility(properties | {name: value + sign * step}) for sign in (1, -1))
        np.testing.assert_allclose(slope[name], (up - down) / (2 * step), rtol=2e-4, atol=2e-5, err_msg=name)


def test_gradients_are_finite_where_everything_is_extreme():
    extreme = {"stability": 1e3, "pugh_ratio": -1e6, "born": -1e4, "price": 1e12, "density": 1e-9}
    for properties in (extreme, GOOD | {"pugh_ratio": 2.5, "born": 0.0}):
        slope = jax.grad(lambda p: ALL.log_utility(p))({name: jnp.float32(value) for name, value in properties.items()})
        assert all(np.isfinite(value) for value in slope.values())


def test_a_sweep_over_settings_compiles_once():
    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in random_properties((2, 5)).items()}
    count = 0

    @jax.jit
    def evaluate(utility, properties):
        nonlocal count
        count += 1
        return utility.log_utility(properties)

    values = [evaluate(Utility((StabilityGoal(scale=s), PughGoal(wanted=w))), arrays).sum() for s, w in ((0.01, 1.75), (0.02, 2.0))]
    assert count == 1 and values[0] != values[1]


def test_a_missing_property_is_named():
    with pytest.raises(ValueError, match="the pugh goal needs pugh_ratio, born; given are stability"):
        Utility().log_utility({"stability": 0.0})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Utility(()), "needs at least one goal"),
        (lambda: Utility((PughGoal(), StabilityGoal(), PughGoal(wanted=2.0))), "two pugh goals"),
        (lambda: StabilityGoal(weight=-1.0), "stability goal: weight is -1; it must be positive"),
        (lambda: PriceGoal(weight=0.0), "leave the goal out"),
        (lambda: StabilityGoal(threshold=25.0), r"threshold is 25; it must lie in \[-0.5, 0.5\] eV/atom \(1 meV = 0.001\)"),
        (lambda: StabilityGoal(threshold=float("nan")), "threshold is nan"),
        (lambda: PughGoal(wanted=2.5, saturation=1.75), "saturation must be above wanted"),
        (lambda: PughGoal(scale=0.0), "scale is 0"),
        (lambda: PriceGoal(wanted=-3.0), "wanted is -3; .* USD/kg"),
        (lambda: DensityGoal(at_most=None), "without a bound"),
        (lambda: DensityGoal(at_most=7.0, at_least=9.0), "exclude each other"),
        (lambda: DensityGoal(at_most=8000.0), "at_most is 8000; .* g/cm³"),
        (lambda: Utility((PriceGoal(wanted=100.0),)).check_reachable(("Pd", "Pt", "Au")), "cheapest of Pd Pt Au is Pt at 27800"),
        (lambda: Utility((PriceGoal(),)).check_reachable(("Fe", "Tc")), "no price is known for Tc"),
    ],
)
def test_goals_that_cannot_be_meant_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_reachable_goals_pass():
    ALL.check_reachable(("Fe", "Pt"))
    Utility((StabilityGoal(),)).check_reachable(("Tc",))


TOML = """
[[goals]]
kind = "stability"
threshold = 0.02

[[goals]]
kind = "pugh"
wanted = 2
weight = 0.5

[[goals]]
kind = "price"
wanted = 15

[[goals]]
kind = "density"
at_most = 9.0
"""


def test_goals_come_from_toml_and_go_back():
    utility = from_toml(TOML, Utility)
    assert utility == Utility((StabilityGoal(0.02), PughGoal(2.0, weight=0.5), PriceGoal(15.0), DensityGoal(at_most=9.0)))
    assert from_toml(to_toml(utility), Utility) == utility
    heavy = Utility((DensityGoal(at_most=None, at_least=15.0),))
    assert from_toml(to_toml(heavy), Utility) == heavy
    with pytest.raises(ValueError, match=r"goals.0 \(pugh\): .*saturation must be above wanted"):
        from_toml('goals = [{kind = "pugh", wanted = 3.0}]', Utility)


def test_description_has_units_and_shares():
    found = Utility((StabilityGoal(), PughGoal(), DensityGoal(at_most=8.0, at_least=5.0, weight=2.0))).describe()
    assert "eV/atom" in found["stability"] and found["stability"].endswith("weight 25%")
    assert "2.5" in found["pugh"] and "GPa" in found["pugh"]
    assert "at least 5 and at most 8 g/cm³" in found["density"]
