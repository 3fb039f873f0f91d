"""Imports go leftwards: a room knows itself and the rooms to its left, nothing else."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "matjax"
HUB = ("types", "units", "keys", "config", "toml", "override", "interrupt")
ROOMS = (
    "data",
    "graph",
    "nn",
    "simulate",
    "thermo",
    "risk",
    "training",
    "uncertainty",
    "stress_test",
    "value",
    "campaign",
    "report",
    "cli",
)
RANK = {**dict.fromkeys(HUB, 0), **{room: i for i, room in enumerate(ROOMS, start=1)}, "testing": len(ROOMS) + 1}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """`matjax.nn.model` -> `nn`; the package itself has no room."""
    return module.split(".")[1] if "." in module else ""


def imported(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, module) of every import of matjax, wherever it stands in the file."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write the module's full name"
            found += (
                [(node.lineno, f"matjax.{a.name}") for a in node.names] if node.module == "matjax" else [(node.lineno, node.module or "")]
            )
    return [(line, name) for line, name in found if name.split(".")[0] == "matjax"]


def offences(source: str, room: str) -> list[str]:
    """The imports of a file in this room that go rightwards."""
    wrong = [(line, name) for line, name in imported(ast.parse(source)) if RANK.get(room_of(name), 0) > RANK[room]]
    return [f"line {line}: {room} may not know {name}" for line, name in wrong]


def test_every_file_has_a_room():
    rooms = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in MODULES} - {"__init__"}
    assert rooms <= RANK.keys(), f"give {sorted(rooms - RANK.keys())} a place in the row of rooms"


def test_every_room_is_a_package():
    folders = {p.parent for p in MODULES}
    assert [str(f.relative_to(PACKAGE)) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES])
def test_imports_go_leftwards(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        assert not imported(ast.parse(path.read_text())), "the package itself imports no room: `import matjax` stays free of side effects"
    else:
        assert offences(path.read_text(), room) == []


@pytest.mark.parametrize(
    "source",
    [
        "from matjax.training import fit",
        "import matjax.cli.main",
        "from matjax import testing",
        "def f():\n  from matjax.report import plots",
    ],
)
def test_a_rightward_import_is_found(source):
    assert len(offences(source, "risk")) == 1


def test_a_leftward_import_is_allowed():
    assert offences("from matjax.types import Crystal\nfrom matjax import __version__\nimport matjax.nn.model\nimport jax", "risk") == []
