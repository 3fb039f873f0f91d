"""The contracts of matjax as functions: run them on your own layer, model or risk."""

from matjax.testing.layer import check_layer
from matjax.testing.model import check_model
from matjax.testing.risk import check_risk

__all__ = ["check_layer", "check_model", "check_risk"]
