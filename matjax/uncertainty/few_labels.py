"""A fitted predictor corrected by a few labels of a new domain: the baseline that every method of transfer must beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from matjax.config import spec
from matjax.data.descriptors import element_fractions
from matjax.training.supervision import default_label, target_per_atom
from matjax.types import Crystal, Dataset, Prediction
from matjax.uncertainty.conformal import Interval, SplitConformal
from matjax.uncertainty.shrinkage import Shrunken, shrunken

FORMS = ("offset", "scale", "composition")
"""What is corrected: a constant; and a factor; and an amount per element."""

WIDE = 5.0
"""Predictions on labelled crystals must spread by so many times the errors for a slope to be read off freely."""

Predictor = Callable[..., Prediction]


@spec
class FewLabels:
    """Settings of a correction; `fit` makes one.

    label = prediction + offset + slope (prediction - centre) + amounts @ element fractions. Each of the three parts is shrunk to
    zero on its own, by as much as the labels suggest (`shrunken`), so that a form with parts that the labels do not need costs
    little, and one label moves little. Errors outside the training data are largely systematic, so that ten labels often remove
    most of what can be removed.

    Attributes:
      form: "offset", "scale" (offset and slope) or "composition" (all three).
      expected: Size of error that is expected of the predictor where it is at home, in the label's unit: what a single label is
        compared with. 0 to take it from the labelled crystals: the spread of their errors, of one or two their size.

    Source:
      Kennedy & O'Hagan (2000), Biometrika 87, 1, eq. 1 (scale and offset between levels of a code); shrinkage is ours.
    """

    form: str = "scale"
    expected: float = 0.0

    def __post_init__(self) -> None:
        """Checks form and expected error."""
        if self.form not in FORMS:
            raise ValueError(f"form is {self.form!r}; allowed: {', '.join(FORMS)}")
        if not (np.isfinite(self.expected) and self.expected >= 0):
            raise ValueError(f"expected is {self.expected}; it must be an error in the label's unit, or 0 to take it from the labels")

    def fit(self, predictor: Predictor, labelled: Dataset, *, label: str = "") -> Corrected:
        """Learns the correction from labelled crystals of the new domain.

        Args:
          predictor: Crystals in, `Prediction` out.
          labelled: One crystal or more that the predictor was not fitted on; crystals whose label is NaN are left out.
          label: Name of the label; empty for the one that a learner would take.

        Raises:
          ValueError: If no crystal has a label, the label is in another unit, or a prediction is not finite.
        """
        label = label or default_label(labelled)
        target = target_per_atom(labelled, label)
        known = np.flatnonzero(np.isfinite(target))
        if not len(known):
            raise ValueError(f"label {label!r} is absent (NaN) on all {len(labelled)} crystals; a correction needs one at least")
        target, crystals = target[known], [labelled.crystals[i] for i in known]
        said = predictor(crystals)
        _check(said, labelled.metadata.units.get(label, ""), label)
        error = target - said.mean
        size = float(np.sqrt(np.mean(error**2)) if len(error) < 3 else np.std(error, ddof=1)) or 1e-12
        centre, width = float(said.mean.mean()), max(float(said.mean.std()), WIDE * size)
        design = _design(self.form, (said.mean - centre) / width, crystals)
        regression = shrunken(design, error, _groups(design.shape[1]), expected=self.expected or size)
        return Corrected(predictor, self.form, centre, width, regression, regression.predict(design)[1])


@dataclasses.dataclass(frozen=True, eq=False)
class Corrected:
    """A predictor with its correction: crystals in, `Prediction` out.

    Attributes:
      predictor: What is corrected.
      form: As in `FewLabels`.
      centre: Mean prediction on the labelled crystals.
      width: Unit of the slope's column: their standard deviation, or `WIDE` times that of the errors.
      regression: Coefficients of offset, slope and elements, with leave-one-out errors on the labelled crystals.
      spread: Predicted standard deviation on the labelled crystals [n_labelled].
    """

    predictor: Predictor
    form: str
    centre: float
    width: float
    regression: Shrunken
    spread: np.ndarray

    def __call__(self, crystals: Sequence[Crystal], **options: Any) -> Prediction:
        """Corrects every sample, and its forces and stress, which scale with the slope.

        The total standard deviation becomes that of the labelled crystals' errors with the doubt of the correction, or stays the
        spread of the samples where that is larger. Other heads are passed on as they are.
        """
        said = self.predictor(crystals, **options)
        design = _design(self.form, (said.mean - self.centre) / self.width, crystals)
        correction, total = self.regression.predict(design)
        mean, factor = said.mean, self.factor
        samples = mean + correction + factor * (said.samples - mean)
        spread = samples.std(0, ddof=1) if len(samples) > 1 else np.zeros(len(crystals))
        return dataclasses.replace(
            said,
            samples=samples,
            noise=np.sqrt(np.maximum(total**2 - spread**2, 0)),
            forces=None if said.forces is None else factor * said.forces,
            stress=None if said.stress is None else factor * said.stress,
        )

    @property
    def offset(self) -> float:
        """What is added to a prediction at `centre`, before elements."""
        return float(self.regression.coefficient[0])

    @property
    def factor(self) -> float:
        """By what differences between predictions are multiplied: 1 + slope."""
        return 1.0 if self.form == "offset" else 1 + float(self.regression.coefficient[1]) / self.width

    @property
    def errors(self) -> np.ndarray:
        """Error on each labelled crystal of the correction by the others [n_labelled], label minus prediction."""
        return self.regression.left_out

    def interval(self, level: float = 0.9) -> Interval:
        """Conformal interval from the labelled crystals: half_width(prediction.total_std).

        Scores are leave-one-out errors over predicted standard deviations (the jackknife).

        Raises:
          ValueError: If they are too few for the level; 90 % needs 9.

        Source:
          Barber et al. (2021), Ann. Statist. 49, 486: the jackknife has the level wherever leaving one point out changes little.
        """
        found = SplitConformal(level).fit(self.errors, self.spread)
        promise = f"{100 * level:g}% of crystals drawn like the {len(self.errors)} labelled ones (leave-one-out errors: approximate)"
        return dataclasses.replace(found, guarantee=promise)


def _design(form: str, standard: np.ndarray, crystals: Sequence[Crystal]) -> np.ndarray:
    """Columns of offset, slope and elements [n, 1, 2 or 120]."""
    columns = [np.ones((len(standard), 1)), standard[:, None], element_fractions(crystals)]
    return np.concatenate(columns[: FORMS.index(form) + 1], 1)


def _groups(n_column: int) -> np.ndarray:
    """Offset 0, slope 1, elements 2."""
    return np.minimum(np.arange(n_column), 2)


def _check(said: Prediction, unit: str, label: str) -> None:
    if not {"unknown", ""} & {unit, said.unit} and unit != said.unit:
        raise ValueError(f"label {label!r} is in {unit}, but the predictor answers in {said.unit}; convert the labels first")
    if not np.isfinite(said.mean).all():
        raise ValueError(f"the prediction of labelled crystal {int(np.flatnonzero(~np.isfinite(said.mean))[0])} is not finite")
