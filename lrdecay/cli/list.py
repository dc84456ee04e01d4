"""`lrdecay list`: every registered name."""

import argparse
import functools
import inspect
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from lrdecay.registry import FACTORIES, factory

if TYPE_CHECKING:
    from rich.table import Table

# A telling example of each schedule, as `lrdecay plot` takes it.
EXAMPLES = {
    "auto": "auto:0.1",
    "constant": "constant:0.1",
    "cosine": "cosine:0.1,decay_fraction=1",
    "cooldown_on_plateau": "cooldown_on_plateau:0.1,fraction=0.2",
    "cosine_restarts": "cosine_restarts:0.1,cycle_fraction=0.25,peak_factor=0.8",
    "cyclic": "cyclic:0.02,peak_value=0.1,up_fraction=0.17",
    "exp_hyperbolic": "exp_hyperbolic:0.1,decay_fraction=1,upper_bound_fraction=1.2",
    "exponential": "exponential:0.1,decay_fraction=1,decay_rate=0.01",
    "flat_cosine": "flat_cosine:0.1,flat_fraction=0.5,decay_fraction=0.5",
    "greedy": "greedy:0.1",
    "hyperbolic": "hyperbolic:0.1,decay_fraction=1,upper_bound_fraction=1.2",
    "inverse_sqrt": "inverse_sqrt:0.1,timescale_fraction=0.1",
    "inverse_time": "inverse_time:0.1,decay_fraction=0.1",
    "join": 'join:[0.05,{name="linear",init_value=0.1,end_value=0,decay_fraction=0.5}],'
    "boundaries_fraction=[0.5]",
    "k_decay": "k_decay:0.1,decay_fraction=1,k=4.0",
    "knee": "knee:0.1,warmup_fraction=0.1,hold_fraction=0.4,decay_fraction=0.5",
    "linear": "linear:0.1,end_value=0,decay_fraction=1",
    # On the clock of the steps: a preview observes nothing.
    "loss_aware": "loss_aware:0.1,when.name=at,when.fraction=[0.34,0.67],how.name=rungs,"
    "how.values=[1,0.5,0.2]",
    "multistep": "multistep:0.1,boundaries_fraction=[0.5,0.75],factor=0.3",
    "noisy": "noisy:0.1,std=0.3",
    "one_cycle": "one_cycle:0.1,warmup_fraction=0.3,decay_fraction=0.7",
    "piecewise_interpolate": "piecewise_interpolate:[0.02,0.1,0.05,0],"
    "boundaries_fraction=[0.2,0.5,1]",
    "polynomial": "polynomial:0.1,decay_fraction=1,power=2.0",
    "power": "power:0.1,timescale_fraction=0.1,exponent=1.0",
    "product": 'product:[0.1,{name="step",init_value=1,decay_fraction=0.34,factor=0.4}]',
    "reduce_on_plateau": "reduce_on_plateau:0.1",
    "repeat": 'repeat:{name="linear",init_value=0.1,end_value=0,decay_fraction=0.25},'
    "cycle_fraction=0.25",
    "rescale": 'rescale:{name="linear",init_value=0.1,end_value=0,decay_fraction=0.5},'
    "old_fraction=0.5,new_fraction=1,at_fraction=0.25",
    "rex": "rex:0.1,decay_fraction=1",
    "slanted_triangular": "slanted_triangular:0.1,warmup_fraction=0.1,decay_fraction=0.9",
    "step": "step:0.1,decay_fraction=0.34,factor=0.4",
    "table": "table:[0.1,0.06,0.02]",
    "tanh": "tanh:0.1,decay_fraction=1",
    "tri_stage": "tri_stage:0.1,end_value=0.001,warmup_fraction=0.1,hold_fraction=0.4,"
    "decay_fraction=0.5",
    "warmup": 'warmup:{name="cosine",init_value=0.1,decay_fraction=0.8},warmup_fraction=0.2',
    "wsd": "wsd:0.1,warmup_fraction=0.1,stable_fraction=0.6,decay_fraction=0.3",
}

# Arguments that a study fills in itself.
_GIVEN = {"optimizer": "schedule", "model": "classes"}
_STEPS = 100


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Says what the command takes."""
    names = commands.add_parser(
        "list",
        help="show every schedule, trigger, decay, optimizer, model and data set",
        description="Shows every name that a configuration or the command line may use.",
    )
    names.add_argument("kind", nargs="?", choices=FACTORIES, help="only these")
    names.add_argument("--markdown", action="store_true", help="as Markdown")
    names.set_defaults(call=_call)


class Entry(NamedTuple):
    """What there is to say about a registered name.

    Attributes:
      name: the name.
      summary: what it is for, the first line of its documentation.
      arguments: each as `name` or `name=default`.
      example: for a schedule, what `lrdecay plot` may be given; else empty.
      shape: the rates of the example in block characters; else empty.
    """

    name: str
    summary: str
    arguments: tuple[str, ...]
    example: str = ""
    shape: str = ""


def entries(kind: str) -> Iterator[Entry]:
    """Every registered name of a kind.

    Args:
      kind: a key of `lrdecay.registry.FACTORIES`.
    """
    for name in FACTORIES[kind]:
        make = factory(kind, name)
        arguments = tuple(
            p.name if p.default is p.empty else f"{p.name}={p.default}"
            for p in inspect.signature(make).parameters.values()
            if p.name != _GIVEN.get(kind)
        )
        entry = Entry(name, (inspect.getdoc(make) or "").partition("\n")[0], arguments)
        if kind == "schedule":
            entry = entry._replace(example=EXAMPLES[name], shape=shape(EXAMPLES[name]))
        yield entry


@functools.cache
def shape(example: str) -> str:
    """The rates of a schedule over a run, in block characters."""
    from lrdecay.cli.notation import section
    from lrdecay.cli.plot import preview
    from lrdecay.cli.terminal import chart
    from lrdecay.study.config import ConfigError
    from lrdecay.study.sections import RunLength, build

    problems: list[str] = []
    run = RunLength(1, _STEPS)
    schedule = build("schedule", section("schedule", example), "example", problems, run)
    if problems:
        raise ConfigError(problems)
    return chart(preview(schedule, run.steps), 16, low=0.0)[0]


def markdown(kind: str) -> str:
    """The names of a kind as a table in Markdown."""
    rows = [["name", "shape", "arguments", "what it is"], ["---"] * 4]
    for e in entries(kind):
        arguments = ", ".join(f"`{argument}`" for argument in e.arguments)
        rows.append([f"`{e.name}`", f"`{e.shape}`", arguments, e.summary])
    if kind != "schedule":
        rows = [[name, *others] for name, _, *others in rows]
    lines = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows)
    return "\n".join(f"| {line} |" for line in lines)


def _table(kind: str) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(kind, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    grid.add_column(overflow="fold")
    for e in entries(kind):
        details = filter(
            None, (", ".join(e.arguments) or "no arguments", e.example and shlex.quote(e.example))
        )
        grid.add_row(
            Text.assemble((e.name, "bold"), "\n", e.shape),
            Text.assemble(e.summary, *(("\n" + line, "dim") for line in details)),
        )
    return grid


def _call(arguments: argparse.Namespace) -> int:
    kinds = [arguments.kind] if arguments.kind else list(FACTORIES)
    if arguments.markdown:
        print("\n\n".join(markdown(kind) for kind in kinds))
        return 0

    from lrdecay.cli.terminal import new_console

    console = new_console()
    for kind in kinds:
        console.print(_table(kind))
    return 0
