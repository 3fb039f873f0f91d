"""`matjax`: the commands, and what the process needs before JAX is imported."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

import typer

from matjax.cli.audit import audit
from matjax.cli.campaign import campaign
from matjax.cli.demo import demo
from matjax.cli.discover import discover
from matjax.cli.doctor import doctor
from matjax.cli.new_layer import new_layer
from matjax.cli.predict import predict
from matjax.cli.report import report
from matjax.cli.stress import stress_test
from matjax.cli.thermo import thermo
from matjax.cli.train import train

app = typer.Typer(
    name="matjax",
    help="Materials models that say how far they can be trusted outside their training data, and find alloys with them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo)
app.command("train")(train)
app.command("predict")(predict)
app.command("stress-test")(stress_test)
app.command("discover")(discover)
app.command("audit")(audit)
app.add_typer(campaign, name="campaign")
app.add_typer(thermo, name="thermo")
app.command("report")(report)
app.command("doctor")(doctor)
app.command("new-layer")(new_layer)


YNN_FUSION = "--xla_cpu_experimental_ynn_fusion_type="
"""Nothing after the equals sign: no fusion of that type."""


def prepare_environment() -> None:
    """Keeps compiled programs on disk between runs, XLA's log to what matters, and a slow fusion off; what the user has set stays.

    XLA warns at length of processor features that a cached program was compiled for, also on the machine that compiled it. Its
    YNN fusion costs training on a CPU an eighth of its time in the releases that have it (`doctor` says so to scripts).
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matjax" / "xla"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
    release = tuple(int(n) for n in importlib.metadata.version("jax").split(".")[:2])
    if (0, 10) <= release < (0, 13) and YNN_FUSION not in (given := os.environ.get("XLA_FLAGS", "")):
        os.environ["XLA_FLAGS"] = f"{given} {YNN_FUSION}".strip()  # older releases abort on a flag that they do not know


def main() -> None:
    """Runs a command; bad input is one line on stderr and exit code 2, never a traceback."""
    prepare_environment()
    try:
        app()
    except (ValueError, FileNotFoundError, FloatingPointError, PermissionError) as error:
        fail(str(error), 2)
    except ImportError as error:
        if error.name is not None:  # a module of ours, or a broken installation: that is for a traceback
            raise
        fail(str(error), 2)
    except OSError as error:
        fail(f"{error.strerror or error} ({error.filename or 'no file named'}); finished rows and epochs are kept", 3)


def fail(message: str, code: int) -> None:
    """One clear line, and the exit code."""
    print(f"matjax: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
