"""The peers' environments: one virtual environment each, pinned, none of them ever a dependency of matjax.

`setup DIR` makes what is missing and may be interrupted and called again; `check DIR` says what is there. Together about 8 GB and
ten minutes, mostly torch and the CUDA libraries that Nequix asks for.

    python experiments/benchmarks/peers.py setup DIR
    python experiments/benchmarks/peers.py check DIR --json
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

PINS = {  # environment: (packages in the order of installation, modules that must import)
    "nequip": (("torch==2.13.0", "nequip==0.19.1", "e3nn==0.6.0", "matscipy==1.3.1"), ("torch", "nequip.model", "matscipy")),
    "mace": (("torch==2.13.0", "mace-torch==0.3.16", "matscipy==1.3.1"), ("torch", "mace.modules", "matscipy")),
    "jaxmd": (("jax==0.10.2", "jax-md==0.2.29", "flax==0.12.8", "vesin==0.6.2"), ("jax_md._nn.nequip", "vesin")),
    "nequix": (("jax==0.10.2", "nequix==0.4.5", "equinox==0.13.8", "matscipy==1.3.1"), ("nequix.calculator",)),
}
INSPECT = """
import importlib, importlib.metadata, json, os, sys
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
for module in sys.argv[2].split(","):
    importlib.import_module(module)
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1].split(",")}))
"""


def check(folder: Path, name: str) -> dict:
    """Whether an environment is as pinned: `ok`, and its versions or what is wrong."""
    pins, modules = PINS[name]
    python = folder / name / "bin" / "python"
    if not python.exists():
        return {"ok": False, "what": "absent"}
    wanted = dict(pin.split("==") for pin in pins)
    said = subprocess.run([python, "-c", INSPECT, ",".join(wanted), ",".join(modules)], capture_output=True, text=True)
    if said.returncode:
        return {"ok": False, "what": said.stderr.strip().splitlines()[-1]}
    found = json.loads(said.stdout.splitlines()[-1])
    wrong = [f"{k} is {v}, not {wanted[k]}" for k, v in found.items() if v.split("+")[0] != wanted[k]]
    return {"ok": not wrong, "what": "; ".join(wrong), "versions": found}


def setup(folder: Path, name: str, torch_index: str | None) -> None:
    """Makes one environment; packages that are there already are not installed again."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
    for pin in PINS[name][0]:
        start = time.time()
        index = ["--index-url", torch_index] if torch_index and pin.startswith("torch==") else []
        with (folder / f"{name}.log").open("a") as log:
            done = subprocess.run([python, "-m", "pip", "install", *index, pin], stdout=log, stderr=log)
        if done.returncode:
            raise SystemExit(f"{name}: pip install {pin} failed; see {folder / name}.log, and call this again")
        print(f"{name}: {pin} ({time.time() - start:.0f} s)", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("setup", "check"), nargs="?", default="check")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("peers"))
    parser.add_argument("--only", choices=PINS, action="append", help="these alone; may be given again")
    parser.add_argument("--torch-index", help="where torch comes from; https://download.pytorch.org/whl/cpu is the smallest")
    parser.add_argument("--smoke", action="store_true", help="check, and be content with what is absent")
    parser.add_argument("--json", action="store_true", help="what is printed is JSON anyway")
    given = parser.parse_args()
    names = given.only or list(PINS)
    if given.action == "setup":
        given.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            if not check(given.folder, name)["ok"]:
                setup(given.folder, name, given.torch_index)
    found = {name: check(given.folder, name) for name in names}
    print(json.dumps(found))
    if not given.smoke and not all(row["ok"] for row in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
