"""matjax: materials models that say how far they can be trusted outside their training data."""

from typing import Any

__version__ = "0.1.0"

_DOORS = {"potential": "matjax.training.pretrained"}


def __getattr__(name: str) -> Any:
    """Names at the top, found when they are asked for: `import matjax` alone loads nothing."""
    import importlib

    if name in _DOORS:
        return getattr(importlib.import_module(_DOORS[name]), name)
    raise AttributeError(f"module 'matjax' has no attribute {name!r}")
