"""Density ratio from a classifier that tells target from training crystals."""

from __future__ import annotations

import jax
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from matjax.keys import generator
from matjax.risk.density_ratio import REFUSAL, DensityRatio, Refusal, accepted, checked


def classifier_ratio(train: np.ndarray, target: np.ndarray, *, folds: int = 5, refusal: Refusal = REFUSAL, key: jax.Array) -> DensityRatio:
    """Ratio p_target / p_train from a logistic classifier: w(x) = P(target | x) / P(train | x) * n_train / n_target.

    The weights of the training crystals come from classifiers that did not see them (cross-fitting); strength of
    regularisation is scikit-learn's default. Exact for two Gaussians of equal covariance, whose log ratio is linear.

    Args:
      train: Features of the training crystals [n_train, n_feature].
      target: Features of target crystals [n_target, n_feature].
      folds: Of the cross-fitting.
      refusal: When to refuse, and how to clip.
      key: For the folds.

    Raises:
      ValueError: If the features do not fit, or the supports are so disjoint that no ratio can be trusted.

    Source:
      Bickel, Brückner & Scheffer (2009), Discriminative learning under covariate shift, eq. 7.
    """
    train, target = checked(train, target, folds)
    features = np.concatenate([train, target])
    is_target = np.repeat([0, 1], [len(train), len(target)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    seed = int(generator(key).integers(2**31))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    log_odds = np.asarray(cross_val_predict(classifier, features, is_target, cv=splits, method="decision_function"))
    prior = len(train) / len(target)
    classifier.fit(features, is_target)
    return accepted(
        np.exp(log_odds[: len(train)]) * prior,
        lambda x: np.exp(classifier.decision_function(np.asarray(x, float))) * prior,
        refusal,
    )
