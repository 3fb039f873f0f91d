"""The code blocks of README and docs run: those of one file in order, in one directory and one Python namespace.

Blocks marked `python` are Python; `bash` and `console` (lines after `$ `) are commands. Long commands get `--quick`. Installation
and `matjax demo` are what .ci/run does. A block that must not run says why in a comment on the line above it:
`<!-- not run: it asks for a cluster -->`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [p for p in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if p.exists() and "_build" not in p.parts]
BLOCK = re.compile(r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n+)?```(?P<language>python|bash|console)\n(?P<code>.*?)^```$", re.M | re.S)
ELSEWHERE = ("matjax demo", "pip ", "pytest", "git ", "cd ", "python -m venv", "source ", "./.ci", ".ci/")
HAS_QUICK = ("matjax train", "matjax stress-test")


def blocks(text: str) -> list[tuple[int, str, str]]:
    """(line, language, code) of every block that runs."""
    found = [(text[: m.start("code")].count("\n") + 1, m["language"], m["code"]) for m in BLOCK.finditer(text) if not m["why"]]
    return [(line, language, code if language == "python" else commands(code, language == "console")) for line, language, code in found]


def commands(code: str, console: bool) -> str:
    """The commands of a block that run here, long ones with --quick."""
    code = code.replace("\\\n", " ")
    lines = [line[2:] for line in code.splitlines() if line.startswith("$ ")] if console else code.splitlines()
    parts = [part.split("  #")[0].strip() for line in lines for part in line.split("&&")]
    kept = [part for part in parts if part and not part.startswith((*ELSEWHERE, "#"))]
    return "\n".join(f"{c} --quick" if c.startswith(HAS_QUICK) and not re.search("--quick|--help", c) else c for c in kept)


def script(text: str) -> str:
    """One Python script that does what the blocks of a page do."""
    shell = "import subprocess\nsubprocess.run(['bash', '-euo', 'pipefail', '-c', {!r}], check=True)\n"
    runnable = [(line, code if language == "python" else shell.format(code)) for line, language, code in blocks(text) if code.strip()]
    return "\n".join(f"# block of line {line}\n{code}" for line, code in runnable)


def run(text: str, directory: Path) -> subprocess.CompletedProcess:
    """Runs the blocks of a page in a directory."""
    path = directory / "page.py"
    path.write_text(script(text))
    path_of = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path_of, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    return subprocess.run([sys.executable, str(path)], cwd=directory, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_python_blocks_parse(page):
    for line, language, code in blocks(page.read_text()):
        if language == "python":
            compile(code, f"{page.name}:{line}", "exec")


COLUMNS = """
import re
missing = set(row) - set(re.findall(r"`([a-z_0-9]+)`", {text!r}))
assert not missing, f"columns of a row without an explanation: {{missing}}"
"""


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p.read_text())], ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_run(page, tmp_path):
    text = page.read_text()
    if page.name == "stress-testing.md":
        text += f"\n```python\n{COLUMNS.format(text=text)}```\n"
    done = run(text, tmp_path)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


PAGE = """
```python
x = 2
```
```bash
pip install . && echo one > file  # a comment
matjax train a.toml \\
  --out run
```
<!-- not run: for the test -->
```python
raise SystemExit("must not run")
```
```console
$ cat file
one
```
```toml
x = "not code"
```
```python
assert open("file").read() == f"one\\n" * (x - 1)
```
"""


def test_blocks_share_a_namespace_and_a_directory(tmp_path):
    languages = [language for _, language, _ in blocks(PAGE)]
    assert languages == ["python", "bash", "console", "python"]
    assert blocks(PAGE)[1][2] == "echo one > file\nmatjax train a.toml    --out run --quick"
    page = PAGE.replace("matjax train a.toml \\\n  --out run\n", "")
    assert run(page, tmp_path).returncode == 0
    assert run(page.replace("(x - 1)", "x"), tmp_path).returncode != 0
    assert run(page.replace("echo one > file", "false"), tmp_path).returncode != 0
