"""Importing matjax: every module, no side effects, nothing beyond the declared dependencies."""

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

import matjax

MODULES = ["matjax", *(m.name for m in pkgutil.walk_packages(matjax.__path__, "matjax.") if not m.name.endswith("__main__"))]
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


@pytest.mark.parametrize("name", MODULES)
def test_module_imports(name):
    importlib.import_module(name)


def test_importing_everything_changes_no_setting_of_jax_and_starts_no_device():
    code = f"""
import importlib, jax
before = dict(jax.config.values)
for name in {MODULES!r}:
    importlib.import_module(name)
changed = {{k: v for k, v in jax.config.values.items() if before.get(k, v) != v}}
assert not changed, changed
assert not jax.config.jax_enable_x64
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized(), "an array was made at import"
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PYPROJECT.parent)


def extras() -> list[str]:
    """Top-level modules that only the optional extras bring."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    names = [re.split(r"[^\w-]", requirement)[0] for group in project["optional-dependencies"].values() for requirement in group]
    modules: list[str] = []
    for name in names:
        try:
            top_level = distribution(name).read_text("top_level.txt") or name.replace("-", "_")
        except PackageNotFoundError:
            continue
        modules += top_level.split()
    return modules


def test_importing_everything_needs_no_extra():
    code = f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {extras()!r}:
            raise ImportError(f"{{name}} comes with an optional extra")
sys.meta_path.insert(0, Absent())
for name in {MODULES!r}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PYPROJECT.parent)
