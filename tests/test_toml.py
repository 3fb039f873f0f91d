"""Specs to TOML and back: round trips, choices, and messages."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal, Protocol

import e3nn_jax as e3nn
import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matjax.config import spec
from matjax.toml import from_dict, from_toml, to_dict, to_toml


@spec
class ERM:
    """No settings."""


@spec
class GroupDRO:
    step_size: float = 0.01
    levels: tuple[float, float] = (0.1, 0.9)


@spec
class Mixture:
    parts: tuple[ERM | GroupDRO, ...] = ()


@spec
class Sized:
    n: int

    def __post_init__(self):
        if self.n < 1:
            raise ValueError(f"n is {self.n}; it must be at least 1")


class Penalty(Protocol):
    def apply(self) -> float: ...


@spec
class Coral:
    strength: float = 0.1

    def apply(self) -> float:
        return self.strength


@spec
class Mine:
    power: float = 2.0

    def apply(self) -> float:
        return self.power


class Layer(nn.Module):
    width: int = 8
    irreps: e3nn.Irreps = e3nn.Irreps("8x0e")


class Net(nn.Module):
    irreps: str = "32x0e+32x1o"
    layers: tuple[nn.Module, ...] = ()
    hidden: tuple[int, ...] = (16,)


@spec
class Run:
    base: ERM | GroupDRO | Mixture = ERM()
    penalties: tuple[Coral | Penalty, ...] = ()
    model: Net = Net()
    sized: Sized | None = None
    rate: float = 1e-3
    level: float | None = 0.9
    n_step: int = 100
    domain: str | None = None
    mode: Literal["mean", "max"] = "mean"
    shuffle: bool = True
    tags: tuple[str, ...] = ()
    either: int | float | str = 1


floats = st.floats(allow_nan=False)
words = st.text().filter(lambda s: s != "none")
plain = st.builds(ERM) | st.builds(GroupDRO, floats, st.tuples(floats, floats))
bases = plain | st.builds(Mixture, st.lists(plain, max_size=3).map(tuple))
runs = st.builds(
    Run,
    base=bases,
    penalties=st.lists(st.builds(Coral, floats) | st.builds(Mine, floats), max_size=3).map(tuple),
    model=st.builds(Net, layers=st.lists(st.builds(Layer, st.integers(1, 9)), max_size=2).map(tuple)),
    sized=st.none() | st.builds(Sized, st.integers(1, 2**40)),
    rate=floats,
    level=st.none() | floats,
    n_step=st.integers(-(2**60), 2**60),
    domain=st.none() | words,
    mode=st.sampled_from(["mean", "max"]),
    shuffle=st.booleans(),
    tags=st.lists(st.text(), max_size=3).map(tuple),
    either=st.integers(-9, 9) | floats | st.text(),
)


@given(runs)
def test_round_trip(run):
    again = from_toml(to_toml(run), Run)
    assert again == run and hash(again) == hash(run)
    assert type(again.rate) is float and type(again.either) is type(run.either)


@given(bases)
def test_round_trip_of_a_union(base):
    assert from_toml(to_toml(base, ERM | GroupDRO | Mixture), ERM | GroupDRO | Mixture) == base


def test_the_document_reads_like_the_spec():
    text = to_toml(Run(base=GroupDRO(0.5), penalties=(Coral(), Mine()), level=None))
    assert 'level = "none"' in text and "domain" not in text
    assert '[base]\nkind = "group_dro"\nstep_size = 0.5\n' in text
    assert f'{{ kind = "coral", strength = 0.1 }},\n    {{ kind = "{__name__}:Mine", power = 2.0 }}' in text
    assert "[model]\nirreps" in text  # one class is allowed: no kind; parent and name of a flax module are not settings


def test_values_are_cast_to_the_annotated_type():
    run = from_toml('rate = 1\nlevel = "none"\nbase = "group_dro"\npenalties = ["coral"]\n[model]\nhidden = [4, 5]', Run)
    assert run == Run(rate=1.0, level=None, base=GroupDRO(), penalties=(Coral(),), model=Net(hidden=(4, 5)))
    assert type(run.rate) is float and type(run.model.hidden) is tuple


def test_numbers_of_numpy_and_jax_are_written_as_numbers():
    run = dataclasses.replace(Run(), rate=np.float64(0.5), n_step=np.int64(3), level=jnp.float32(0.25), shuffle=np.bool_(False))
    assert from_toml(to_toml(run), Run) == Run(rate=0.5, n_step=3, level=0.25, shuffle=False)
    assert math.isinf(from_toml(to_toml(Run(rate=math.inf)), Run).rate)


@spec
class Deep:
    inner: GroupDRO = GroupDRO(0.5)
    either: ERM | GroupDRO | Sized = GroupDRO(0.5, (0.2, 0.8))
    run: Run = Run(domain="oxides")


def test_a_table_without_kind_changes_the_default_of_its_field():
    deep = from_toml("inner.levels = [0.2, 0.3]\neither.step_size = 0.6\nrun.rate = 1.0", Deep)
    assert deep == Deep(GroupDRO(0.5, (0.2, 0.3)), GroupDRO(0.6, (0.2, 0.8)), Run(domain="oxides", rate=1.0))
    assert from_toml('either = { kind = "group_dro", step_size = 0.6 }', Deep).either == GroupDRO(0.6)
    without = Deep(run=Run())
    assert 'domain = "none"' in to_toml(without) and from_toml(to_toml(without), Deep) == without
    with pytest.raises(ValueError, match=r"^either.stepsize is not a setting of group_dro; did you mean 'step_size'\?$"):
        from_toml("either.stepsize = 1.0", Deep)


def test_what_has_no_form_in_toml_is_refused():
    with pytest.raises(ValueError, match=r"Run.tags.0 is <built-in function len>"):
        to_dict(Run(tags=(len,)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Run.domain is the string 'none'"):
        to_dict(Run(domain="none"))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"rat": 1.0}, r"^rat is not a setting of run; did you mean 'rate'\?$"),
    ({"qqqq": 1.0}, r"^qqqq is not a setting of run; allowed: base, penalties, model"),
    ({"base": {"kind": "group_dro", "stepsize": 1.0}}, r"^base.stepsize is not a setting of group_dro; did you mean 'step_size'\?$"),
    ({"base": {"kind": "groupdro"}}, r"^base: there is no kind 'groupdro'; did you mean 'group_dro'\?$"),
    ({"base": "irm"}, r"^base: there is no kind 'irm'; did you mean 'erm'\?$"),
    ({"base": {"step_size": 1.0}}, r"^base: kind is missing \(step_size is not a setting of erm, the default\); allowed: erm, group"),
    ({"base": {"kind": "no_such_package:Risk"}}, r"^base: cannot find the kind 'no_such_package:Risk': No module named"),
    ({"base": {"kind": "math:sqrt"}}, r"^base: 'math:sqrt' is neither a spec \(matjax.config.spec\) nor a flax module$"),
    ({"base": {"kind": "mixture", "parts": [{"kind": "erm", "x": 1}]}}, r"^base.parts.0.x is not a setting of erm; allowed: nothing$"),
    ({"base": 3}, r"^base is 3 \(int\); allowed: a table of erm or a table of group_dro or a table of mixture$"),
    ({"base": {"kind": "group_dro", "levels": [0.1]}}, r"^base.levels is \[0.1\] \(list\); allowed: an array \(float, float\)$"),
    ({"model": {"kind": "mesh"}}, r"^model: there is no kind 'mesh'; "),
    ({"model": {"kind": "math:sqrt"}}, r"^model: there is no kind 'math:sqrt'; "),
    ({"model": {"name": "net"}}, r"^model.name is not a setting of net"),
    ({"model": {"layers": [{"kind": f"{__name__}:Layer", "irreps": "zz"}]}}, r"^model.layers.0.irreps is 'zz', not a valid Irreps: "),
    ({"sized": {}}, r"^sized: sized also needs n$"),
    ({"sized": {"n": 0}}, r"^sized \(sized\): n is 0; it must be at least 1$"),
    ({"rate": "fast"}, r"^rate is 'fast' \(str\); allowed: float$"),
    ({"rate": True}, r"^rate is True \(bool\); allowed: float$"),
    ({"n_step": 1e3}, r"^n_step is 1000.0 \(float\); allowed: int$"),
    ({"n_step": True}, r"^n_step is True \(bool\); allowed: int$"),
    ({"level": "high"}, r"^level is 'high' \(str\); allowed: float or \"none\"$"),
    ({"mode": "min"}, r"^mode is 'min' \(str\); allowed: 'mean' or 'max'$"),
    ({"tags": ["a", 1]}, r"^tags.1 is 1 \(int\); allowed: str$"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=[str(v) for v, _ in BAD])
def test_bad_values_say_where_what_came_and_what_is_allowed(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(values, Run)


def test_where_starts_the_path():
    with pytest.raises(ValueError, match=r"^risk.rat is not a setting"):
        from_dict({"rat": 1}, Run, where="risk")


def test_files_are_read_and_named_in_messages(tmp_path: Path):
    path = tmp_path / "run.toml"
    path.write_text(to_toml(Run(n_step=7)))
    assert from_toml(path, Run) == Run(n_step=7)
    for content, message in [
        (b"n_step = ", "run.toml: Invalid value"),
        (b"n_stp = 1", "run.toml: n_stp is not"),
        (b"\xff", "run.toml: 'utf-8'"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            from_toml(path, Run)
    with pytest.raises(ValueError, match="missing.toml: .*No such file"):
        from_toml(tmp_path / "missing.toml", Run)
