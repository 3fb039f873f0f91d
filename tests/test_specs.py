"""Every spec that matjax ships prints, hashes, and comes back from TOML."""

import dataclasses
import importlib
import pkgutil

import pytest

import matjax
from matjax.data import LeaveElementOut, LeaveOut, PropertyTail, Random, Shift, Sizes
from matjax.nn import Equivariant
from matjax.risk import DANN, Coral, GroupDRO, Importance, LowDensity, Risk, VREx
from matjax.toml import from_toml, to_toml
from matjax.training import AdamW, GraphLearner, Loss


def shipped() -> list[type]:
    """The spec classes of all modules."""
    modules = [
        importlib.import_module(m.name) for m in pkgutil.walk_packages(matjax.__path__, "matjax.") if not m.name.endswith("__main__")
    ]
    found = {v for m in modules for v in vars(m).values() if isinstance(v, type) and getattr(v, "__is_spec__", False)}
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


SHIPPED = shipped()


def required(cls: type) -> list[str]:
    """Settings without a default."""
    fields = dataclasses.fields(cls)
    return [f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]


def test_specs_are_found():
    assert {GraphLearner, Risk, Loss, LeaveOut} <= set(SHIPPED)


@pytest.mark.parametrize("cls", [c for c in SHIPPED if not required(c)], ids=lambda cls: cls.__name__)
def test_defaults_round_trip(cls):
    spec = cls()
    assert from_toml(to_toml(spec), cls) == spec and from_toml("", cls) == spec
    assert hash(spec) == hash(cls()) and cls.__name__ in repr(spec)


@pytest.mark.parametrize("cls", SHIPPED, ids=lambda cls: cls.__name__)
def test_every_setting_is_documented(cls):
    said = "\n".join(base.__doc__ or "" for base in cls.__mro__ if getattr(base, "__is_spec__", False))  # a base says what it brings
    missing = [f.name for f in dataclasses.fields(cls) if f"{f.name}: " not in said]
    assert not missing, f"{cls.__name__} does not say what {', '.join(missing)} is"


def test_a_learner_is_its_configuration():
    risk = Risk(VREx(beta=2.0), Importance(power=0.5)) + Coral(0.5) + DANN()
    learner = GraphLearner(Equivariant(irreps="8x0e+8x1o"), Loss(shape="mae"), risk, AdamW(), domain="crystal_system")
    assert from_toml(to_toml(learner), GraphLearner) == learner
    short = from_toml('[risk]\nbase = "group_dro"\npenalties = ["low_density"]', GraphLearner)
    assert short == GraphLearner(risk=Risk(GroupDRO()) + LowDensity())


@pytest.mark.parametrize(
    "shift",
    [Random(), LeaveOut("anion", only=("oxide", "nitride")), LeaveOut("n_elements", above=3.0), LeaveElementOut("F"), PropertyTail("gap")],
    ids=lambda shift: type(shift).__name__,
)
def test_a_shift_is_chosen_by_kind(shift):
    shifts = Random | LeaveOut | LeaveElementOut | PropertyTail | Shift
    shift = dataclasses.replace(shift, sizes=Sizes(max_train=100))
    assert from_toml(to_toml(shift, shifts), shifts) == shift
