"""Single settings replaced from the command line."""

import dataclasses

import pytest

from matjax.config import spec
from matjax.override import override


@spec
class ERM: ...


@spec
class VREx:
    kind = "vrex"
    strength: float = 1.0


@spec
class Risk:
    base: ERM | VREx = ERM()
    penalties: tuple[VREx, ...] = ()


@spec
class Run:
    risk: Risk = Risk()
    extra: VREx | None = None
    rate: float = 0.1
    title: str = ""
    irreps: str = "8x0e"
    widths: tuple[int, ...] = (1, 2)
    domain: str | None = None


RUN = Run()


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        ([], RUN),
        (["rate=0.02"], Run(rate=0.02)),
        (["rate = 3"], Run(rate=3.0)),
        (["risk.base.kind=vrex"], Run(risk=Risk(VREx()))),
        (["risk.base=vrex"], Run(risk=Risk(VREx()))),
        (["risk.base.strength=0.5", "risk.base.kind=vrex"], Run(risk=Risk(VREx(0.5)))),
        (["risk.penalties=[{strength=2}, {}]", "risk.penalties.1.strength=7"], Run(risk=Risk(penalties=(VREx(2.0), VREx(7.0))))),
        (["extra.strength=4"], Run(extra=VREx(4.0))),
        (["title=two words"], Run(title="two words")),
        (["title=a=b"], Run(title="a=b")),
        (['title="1"'], Run(title="1")),
        (["title="], RUN),
        (["irreps=32x0e+32x1o"], Run(irreps="32x0e+32x1o")),
        (["widths=[4, 5, 6]"], Run(widths=(4, 5, 6))),
        (["widths.1=9"], Run(widths=(1, 9))),
        (["domain=anion"], Run(domain="anion")),
        (["rate=1", "rate=2"], Run(rate=2.0)),
    ],
)
def test_override(assignments, expected):
    assert override(RUN, assignments) == expected


def test_none_and_a_new_kind_replace_what_was_there():
    run = Run(risk=Risk(VREx(5.0)), extra=VREx(3.0), domain="anion")
    assert override(run, ["extra=none", "domain=none"]) == dataclasses.replace(run, extra=None, domain=None)
    assert override(run, ["risk.base.kind=vrex"]) == run
    assert override(run, ["risk.base.kind=erm"]).risk.base == ERM()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("rate", "'rate' is not of the form path.to.setting=value"),
        ("=3", "'=3' is not of the form"),
        ("risk..base=3", "is not of the form"),
        ("rats=3", r"^rats is not a setting of run; did you mean 'rate'\?"),
        ("rsk.base.kind=vrex", r"^rsk is not a setting of run; did you mean 'risk'\?"),
        ("risk.base.strength=2", "^risk.base.strength is not a setting of erm"),
        ("rate.x=3", "^rate is 0.1, not a table; rate.x cannot be set"),
        ("widths.2=3", "^widths.2: the array has 2 items, numbered from 0"),
        ("widths.first=3", "^widths.first: the array has 2 items"),
        ("rate=fast", r"^rate is 'fast' \(str\); allowed: float"),
    ],
)
def test_bad_assignments(assignment, message):
    with pytest.raises(ValueError, match=message):
        override(RUN, [assignment])
