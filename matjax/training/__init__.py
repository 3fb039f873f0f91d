"""Training: the learner, its loss and optimizers, ensembles, checkpoints."""

from matjax.training.learner import GraphLearner
from matjax.training.loss import Loss
from matjax.training.optimizer import AdamW, Muon
from matjax.training.predictor import GraphPredictor
from matjax.training.supervision import Supervision

__all__ = ["AdamW", "GraphLearner", "GraphPredictor", "Loss", "Muon", "Supervision"]
