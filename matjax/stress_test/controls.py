"""Controls: methods whose answer is known. Random domain labels must not help, one-hot elements must hurt where an element is new.

A robust risk that gains as much from domain labels drawn at random as from the real ones is a regulariser: its gain is no
invariance. And where physical descriptors of the elements do not beat one-hot ones on elements held out, the pipeline is
wrong: a one-hot encoding cannot represent an element that it never saw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from matjax.data.domains import domain_labels
from matjax.keys import child, generator
from matjax.risk import Risk, RiskShape
from matjax.stress_test.comparison import Comparison, compare_methods
from matjax.stress_test.paired import Row
from matjax.types import Dataset, Outcome

RANDOM_DOMAIN = "random_domain"
RANDOM, ONE_HOT = "random domain labels", "one-hot elements"


class Control(NamedTuple):
    """What a row is a control of: `kind` in words, and the method that it is the twin of."""

    kind: str
    of: str


def with_random_domains(dataset: Dataset, column: str, key: jax.Array) -> Dataset:
    """The data with one more domain column, `random_domain`: the labels of a column, shuffled over the crystals.

    Raises:
      ValueError: If the data have such a column already, or the column has fewer than two domains.
    """
    labels = domain_labels(dataset, column)
    if RANDOM_DOMAIN in dataset.domains:
        raise ValueError(f"the data have a column {RANDOM_DOMAIN!r} of their own; rename it")
    if len(np.unique(labels)) < 2:
        raise ValueError(f"column {column!r} has one domain: shuffling it changes nothing, so there is no control")
    shuffled = generator(child(key, RANDOM_DOMAIN)).permutation(labels)
    return dataclasses.replace(dataset, domains={**dataset.domains, RANDOM_DOMAIN: shuffled})


def sees_domains(risk: Risk) -> bool:
    """Whether a risk, or what it does to any parameter, depends on which domain a crystal is from: tried on a batch."""
    draw, n = np.random.default_rng(0), 24
    domain = jnp.asarray(np.arange(n) % 3, jnp.int32)
    loss, features, log_variance = (jnp.asarray(draw.gamma(2.0, size=shape), jnp.float32) for shape in (n, (n, 4), n))
    ones = jnp.ones(n, bool)

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1, 2))
    def value(params: Any, loss: jax.Array, features: jax.Array, domain: jax.Array) -> jax.Array:
        outcome = Outcome(loss, features, log_variance, jnp.sqrt(loss), domain, jnp.ones(n), ones, ones, loss, loss, features)
        return risk.apply(params, memory, outcome)[0]

    params, memory = jax.jit(lambda key: risk.init(key, RiskShape(3, 4)))(jax.random.key(0))
    real, shuffled = (value(params, loss, features, d) for d in (domain, jnp.asarray(draw.permutation(domain))))
    pairs = zip(jax.tree.leaves(real), jax.tree.leaves(shuffled), strict=True)
    return not all(np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)


def twins(learners: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(method, kind of control, its twin): random domains where a risk looks at domains, one-hot elements for the first method."""
    for place, (name, learner) in enumerate(learners.items()):
        model, risk = getattr(learner, "model", None), getattr(learner, "risk", None)
        if risk is not None and sees_domains(risk):
            yield name, RANDOM, dataclasses.replace(learner, domain=RANDOM_DOMAIN)
        if place == 0 and model is not None and getattr(model, "physical", None) is True:
            yield name, ONE_HOT, dataclasses.replace(learner, model=model.clone(physical=False))
        features = str(getattr(learner, "features", ""))
        if place == 0 and "composition" in features.split("+"):
            yield name, ONE_HOT, dataclasses.replace(learner, features=features.replace("composition", "elements"))


def read_controls(rows: Iterable[Row], reference: str, margin: float = 0.03) -> tuple[str, ...]:
    """What the controls among the rows say, one sentence each; none where there are none.

    Args:
      rows: As in `stress_test.json`, with `control` and `control_of` where a row is a control.
      reference: Method that the others are held against.
      margin: Relative difference that counts as none.
    """
    rows = [row for row in rows if row.get("selection") != "oracle"]
    kinds = {(str(row["control"]), str(row["control_of"])): str(row["method"]) for row in rows if row.get("control")}
    found = []
    for (kind, method), twin in kinds.items():
        if kind == RANDOM:
            real, fake = _ratio(rows, method, reference), _ratio(rows, twin, reference)
            found.append(_random_sentence(method, reference, real, fake, _ratio(rows, method, twin), margin))
        elif kind == ONE_HOT:
            elements = [row for row in rows if row["shift"] == "leave_element_out"]
            found.append(_one_hot_sentence(_ratio(elements, twin, reference), margin))
    return tuple(text for text in found if text)


def _ratio(rows: Sequence[Row], method: str, against: str) -> Comparison | None:
    """The pooled comparison of two methods; None where they share no domain."""
    two = [row for row in rows if row["method"] in (method, against) and not str(row["shift"]).startswith(("random", "property_tail"))]
    if len({row["method"] for row in two}) < 2:
        return None
    found = [c for c in compare_methods(two, reference=against, n_draw=1000) if c.method == method]
    return found[-1] if found else None


def _random_sentence(
    method: str, reference: str, real: Comparison | None, fake: Comparison | None, direct: Comparison | None, margin: float
) -> str:
    if real is None or fake is None or direct is None or real.ratio > 1 - margin:
        return ""  # no gain, nothing to explain
    numbers = f"{fake.ratio:.2f} against {real.ratio:.2f} of the error of {reference} over {direct.n_domain} domains"
    if direct.ratio > 1 - margin:
        return f"Random domain labels help {method} as much as real ones ({numbers}): regularisation, not invariance."
    return f"Real domain labels help {method} more than random ones ({numbers}; {direct.verdict})."


def _one_hot_sentence(found: Comparison | None, margin: float) -> str:
    if found is None:
        return ""
    numbers = f"{found.ratio:.2f} times the error over {found.n_domain} elements held out"
    if found.ratio > 1 + margin:
        return f"One-hot elements err more than physical descriptors ({numbers}), as they must."
    return (
        f"One-hot elements do not err more than physical descriptors ({numbers}), though they cannot know an element that they "
        "never saw: the pipeline does not pass its positive control, and no row of elements should be believed before it does."
    )
