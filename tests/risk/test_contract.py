"""The contract of `testing.check_risk` over every risk: a new one is tested by being listed here."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import pytest

from matjax.config import spec
from matjax.risk import (
    DANN,
    ERM,
    IRM,
    MMD,
    RSD,
    Balance,
    ConditionalDANN,
    Coral,
    CVaR,
    DareGram,
    GroupDRO,
    Importance,
    LowDensity,
    Risk,
    RiskShape,
    VREx,
)
from matjax.testing import check_risk

RISKS = [
    Risk(),
    Risk(GroupDRO(step_size=0.5, size_adjustment=1.0)),
    Risk(VREx(beta=2.0)),
    Risk(IRM(strength=2.0, warmup=2.0)),
    Risk(CVaR(0.4)),
    Risk(weights=Importance(power=0.5, clip=4.0)),
    Risk(weights=Balance(0.5)),
    Risk() + Coral(),
    Risk() + DANN(hidden=8, warmup=2.0),
    Risk() + ConditionalDANN(hidden=8, warmup=2.0, n_bin=3),
    Risk() + MMD(),
    Risk() + RSD(),
    Risk() + DareGram(),
    Risk() + LowDensity(margin=0.1, decay=0.5),
    Risk(GroupDRO(step_size=0.5), weights=Balance()) + Coral(0.1) + DANN(0.3, hidden=4) + LowDensity(decay=0.5),
]


@pytest.mark.parametrize("risk", RISKS, ids=[f"{i}-{type(r.base).__name__}" for i, r in enumerate(RISKS)])
def test_keeps_the_contract(risk):
    check_risk(risk, key=jax.random.key(0))


@spec
class Forgetful:
    """A base that divides by the number of crystals of every domain and ignores weights."""

    def init(self, key, shape):
        return (), ()

    def apply(self, params, memory, outcome):
        count = jax.ops.segment_sum(outcome.weight, outcome.domain, 4)
        return (jax.ops.segment_sum(outcome.loss, outcome.domain, 4) / count).sum(), memory, {}


@spec
class Leaky:
    """A penalty that lets values of unlabelled rows depend on their place."""

    uses_target: ClassVar[bool] = False
    strength: float = 1.0

    def init(self, key, shape):
        return (), ()

    def apply(self, params, memory, outcome):
        return self.strength * outcome.loss[0], memory, {}


def test_contract_can_fail():
    with pytest.raises(AssertionError, match="not finite"):
        check_risk(Risk(Forgetful()), key=jax.random.key(0))
    with pytest.raises(AssertionError, match="order of the crystals"):
        check_risk(Risk() + Leaky(), key=jax.random.key(0))


def test_strength_sweep_is_vmappable(outcome):
    batch = outcome([0.5, 2.0, 1.0], [0, 1, 1])
    state = Risk(VREx()).init(jax.random.key(0), RiskShape(2, 2))
    sweep = jax.vmap(lambda beta: Risk(VREx(beta)).apply(*state, batch)[0])(jnp.array([0.0, 1.0, 2.0]))
    assert sweep[2] - sweep[1] == pytest.approx(float(sweep[1] - sweep[0]), rel=1e-4)
    assert ERM() == ERM() and hash(Risk() + Coral(0.1)) == hash(Risk() + Coral(0.1))
