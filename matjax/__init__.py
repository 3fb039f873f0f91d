"""matjax: materials models that say how far they can be trusted outside their training data."""

__version__ = "0.1.0"
