"""Training: the learner, its loss and optimizers, ensembles, checkpoints, potentials by name."""

from matjax.training.checkpoint import describe_model, load_model, save_model
from matjax.training.epoch import Saving
from matjax.training.head_learner import HeadLearner
from matjax.training.head_network import HeadNetwork, Pace
from matjax.training.learner import GraphLearner
from matjax.training.loss import Loss
from matjax.training.new_elements import add_elements
from matjax.training.optimizer import AdamW, Muon
from matjax.training.outliers import suspects
from matjax.training.predictor import GraphPredictor
from matjax.training.pretrained import potential
from matjax.training.schedule import Constant, Cosine, Exponential, Linear
from matjax.training.selection import Rate
from matjax.training.supervision import Supervision

__all__ = [
    "AdamW",
    "Constant",
    "Cosine",
    "Exponential",
    "GraphLearner",
    "HeadLearner",
    "HeadNetwork",
    "Pace",
    "GraphPredictor",
    "Linear",
    "Loss",
    "Muon",
    "Rate",
    "Saving",
    "Supervision",
    "add_elements",
    "describe_model",
    "load_model",
    "potential",
    "save_model",
    "suspects",
]
