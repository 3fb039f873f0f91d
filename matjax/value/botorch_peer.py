"""Bayesian optimisation as BoTorch does it: a peer to hold the Gaussian process of matjax against."""

from __future__ import annotations

import dataclasses
import importlib.util
import warnings
from typing import Any, ClassVar

import jax
import numpy as np

from matjax import keys
from matjax.config import spec
from matjax.risk.protocol import check_range
from matjax.types import Candidate
from matjax.value.gaussian_process import SCORES, choices, features, known_inside
from matjax.value.proposers import Context, Random
from matjax.value.space import Space

MAX_CHOICE = 512
"""Candidates that are scored at once, which bounds the memory."""


@spec
class BoTorch:
    """What was measured, smoothed by BoTorch's single-task Gaussian process, and a batch of its acquisition functions.

    Coordinates and candidates are those of `GaussianProcess`; the prior over lengths (log-normal, growing with the dimension), the
    standardised utilities and the fit are BoTorch's own defaults. A batch is filled one by one, each with those picked before it as
    pending, whose outcomes are sampled and not taken for their means. It computes on the CPU in double precision.

    Attributes:
      score: "expected_improvement" (the logarithm of its batch form, qLogExpectedImprovement) or "upper_bound"
        (qUpperConfidenceBound).
      kappa: Standard deviations that the upper bound of a single candidate lies above its mean.
      n_pool: Candidates that are scored: half children of the measured, half uniform draws.
      fewest: Measured materials below which draws are uniform.
      n_draw: Quasi-random draws from the posterior; a power of two.

    Source:
      Balandat et al. (2020), BoTorch: a framework for efficient Monte-Carlo Bayesian optimization, NeurIPS 33; Ament et al. (2023),
      Unexpected improvements to expected improvement for Bayesian optimization, NeurIPS 36; Hvarfner, Hellsten & Nardi (2024),
      Vanilla Bayesian optimization performs great in high dimensions, ICML (prior).
    """

    kind: ClassVar[str] = "botorch"
    score: str = dataclasses.field(default="expected_improvement", metadata={"static": True})
    kappa: float = 1.0
    n_pool: int = 1024
    fewest: int = 4
    n_draw: int = 128

    def __post_init__(self) -> None:
        """Refuses an unknown score and numbers out of range; whether BoTorch is installed, `check` asks."""
        check_range(self, kappa=(0.0, 100.0))
        if self.score not in SCORES:
            raise ValueError(f"score of BoTorch is {self.score!r}; allowed: {', '.join(SCORES)}")
        for name, least in (("n_pool", 2), ("fewest", 2), ("n_draw", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} of BoTorch is {getattr(self, name)}; it must be at least {least}")

    def check(self) -> None:
        """Refuses to go on without BoTorch.

        Raises:
          ValueError: If it is not installed, saying how to get it.
        """
        if not is_installed():
            raise ValueError("the proposer botorch needs an extra that is not installed: pip install 'matjax[botorch]'")

    def propose(self, n: int, context: Context, key: jax.Array) -> list[Candidate]:
        """Distinct unseen candidates [n], in the order in which they would be measured.

        Raises:
          ValueError: If BoTorch is not installed.
        """
        self.check()
        known, found = known_inside(context), list[Candidate]()
        if len(known) >= self.fewest and (pool := choices(self.n_pool, n, context, key)):
            utility = np.array([u for _, u in known])
            found = [pool[i] for i in self.pick([c for c, _ in known], utility, pool, context.space, n, keys.child(key, "pick"))]
        rest = dataclasses.replace(context, seen=context.seen | {c.key for c in found})
        return found + Random().propose(n - len(found), rest, keys.child(key, "fill")) if len(found) < n else found

    def pick(self, known: list[Candidate], utility: np.ndarray, pool: list[Candidate], space: Space, n: int, key: jax.Array) -> list[int]:
        """Indices of a batch [n], or of all where the pool is smaller; none twice.

        Args:
          known: Measured materials [n_known] of the space's elements.
          utility: Of them, finite [n_known].
          pool: Candidates of the space.
          space: Whose elements and structures are the coordinates.
          n: Size of the batch.
          key: Of the draws.

        Raises:
          ValueError: If BoTorch is not installed.
        """
        self.check()
        import torch  # pyright: ignore[reportMissingImports]
        from linear_operator.utils.warnings import NumericalWarning  # pyright: ignore[reportMissingImports]

        seed = int(keys.generator(key).integers(2**31))
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():  # next to what is pending, a jitter of 1e-8 is added
            warnings.simplefilter("ignore", NumericalWarning)
            torch.manual_seed(seed)
            tensor = lambda array: torch.tensor(array, dtype=torch.double)
            acquisition = self._acquisition(tensor(features(known, space)), tensor(utility)[:, None], seed)
            return _greedy(acquisition, tensor(features(pool, space)), min(n, len(pool)))

    def _acquisition(self, x: Any, y: Any, seed: int) -> Any:
        """BoTorch's acquisition function after the fit to features [n, n_feature] and utilities [n, 1]."""
        import torch  # pyright: ignore[reportMissingImports]
        from botorch.acquisition import qUpperConfidenceBound  # pyright: ignore[reportMissingImports]
        from botorch.acquisition.logei import qLogExpectedImprovement  # pyright: ignore[reportMissingImports]
        from botorch.fit import fit_gpytorch_mll  # pyright: ignore[reportMissingImports]
        from botorch.models import SingleTaskGP  # pyright: ignore[reportMissingImports]
        from botorch.sampling import SobolQMCNormalSampler  # pyright: ignore[reportMissingImports]
        from gpytorch.mlls import ExactMarginalLogLikelihood  # pyright: ignore[reportMissingImports]

        model = SingleTaskGP(x, y)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        sampler = SobolQMCNormalSampler(torch.Size([self.n_draw]), seed=seed)
        if self.score == "upper_bound":
            return qUpperConfidenceBound(model, beta=self.kappa**2, sampler=sampler)
        return qLogExpectedImprovement(model, best_f=y.max(), sampler=sampler)


def is_installed() -> bool:
    """Whether BoTorch can be imported."""
    return importlib.util.find_spec("botorch") is not None


def _greedy(acquisition: Any, x: Any, n: int) -> list[int]:
    """The rows [n] of features x [n_pool, n_feature] that score best one after another, those before them pending."""
    import torch  # pyright: ignore[reportMissingImports]

    picked: list[int] = []
    for _ in range(n):
        with torch.no_grad():
            score = torch.cat([acquisition(part[:, None]) for part in x.split(MAX_CHOICE)])
        score[picked] = -torch.inf
        picked.append(int(score.argmax()))
        acquisition.set_X_pending(x[picked])
    return picked
