"""The spec decorator: what is a leaf, what is static, what is equal."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import pytest

from matjax.config import kind_of, spec


@spec
class Strength:
    value: float = 1.0


@spec
class Choice:
    inner: Strength | None = None
    several: tuple[Strength, ...] = ()
    weights: tuple[float, ...] = (1.0, 2.0)
    n: int = 3
    name: str = "a"
    fixed: float = dataclasses.field(default=0.5, metadata={"static": True})


class GroupDRO: ...


class VREx: ...


class CVaR:
    kind = "cvar"


def test_kind_is_the_snake_case_name_or_its_own():
    assert [kind_of(c) for c in (Strength, GroupDRO, CVaR)] == ["strength", "group_dro", "cvar"]


def test_floats_are_leaves_and_structure_is_static():
    leaves, structure = jax.tree.flatten(Choice(Strength(7.0), (Strength(8.0),)))
    assert leaves == [7.0, 8.0, 1.0, 2.0]
    assert structure != jax.tree.structure(Choice(Strength(7.0), (Strength(8.0),), n=4))
    assert structure != jax.tree.structure(Choice(Strength(7.0), (Strength(8.0),), fixed=0.6))


def test_two_strengths_compile_once_and_can_be_vmapped():
    traces = []

    @jax.jit
    def double(choice, x):
        traces.append(1)
        return choice.inner.value * x * choice.n

    assert [double(Choice(Strength(s)), 2.0) for s in (1.0, 5.0)] == [6.0, 30.0] and len(traces) == 1
    assert double(Choice(Strength(1.0), n=4), 2.0) == 8.0 and len(traces) == 2
    sweep = jax.vmap(lambda s: double(Choice(Strength(s)), 2.0))(jnp.array([1.0, 2.0]))
    assert sweep.tolist() == [6.0, 12.0]


def test_gradient_reaches_a_strength():
    gradient = jax.grad(lambda c: 3.0 * c.inner.value**2)(Choice(Strength(2.0)))
    assert gradient.inner.value == 12.0


def test_equal_specs_hash_equal_and_pickle():
    a, b = Choice(Strength(2.0), n=5), Choice(Strength(2.0), n=5)
    assert a == b and hash(a) == hash(b) and {a: 1}[b] == 1
    assert pickle.loads(pickle.dumps(a)) == a
    assert a != Choice(Strength(2.0), n=6)
    assert repr(a) == "Choice(inner=Strength(value=2.0), several=(), weights=(1.0, 2.0), n=5, name='a', fixed=0.5)"


def test_a_spec_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Choice().n = 4  # pyright: ignore[reportAttributeAccessIssue]
