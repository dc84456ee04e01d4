"""`lrdecay replay`: where triggers would have fired in a recorded log."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrdecay.cli.notation import check_figure, section
from lrdecay.study.config import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from lrdecay.logs import Log
    from lrdecay.loss_aware_schedule import LossAware
    from lrdecay.replaying import Replay

_HEIGHT = 6  # of the curve, in lines
_MOST_FIRES = 12  # of a trigger, in the table


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Says what the command takes."""
    replay = commands.add_parser(
        "replay",
        help="show where triggers would have fired in a recorded log",
        description="Replays a recorded curve: where would each trigger have fired, and what would "
        "the rate have been? Triggers, decays and schedules are written NAME:key=value,key=value; "
        "`lrdecay list` shows them.",
    )
    replay.add_argument(
        "log",
        type=Path,
        help="CSV, TSV, JSON, JSON lines (each also .gz), Parquet, NPZ, or TensorBoard's events",
    )
    replay.add_argument("--column", required=True, help="the metric that the triggers watch")
    replay.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="only the rows with this cell, as in seed=0, where a log holds several runs",
    )
    replay.add_argument(
        "--when",
        action="append",
        metavar="TRIGGER",
        help="a trigger, as in plateau:patience=10; several are compared (default: plateau)",
    )
    replay.add_argument(
        "--how", default="multiply:0.1", metavar="DECAY", help="the decay (default: %(default)s)"
    )
    replay.add_argument(
        "--base",
        default="1",
        metavar="RATE",
        help="the rate that falls, a number or a schedule (default: 1, so that rates are factors)",
    )
    replay.add_argument("--out", type=Path, metavar="FILE", help="draw a figure, .png or .svg")
    replay.set_defaults(call=_call)


def _call(arguments: argparse.Namespace) -> int:
    path, column = arguments.log, arguments.column
    check_figure(arguments.out)
    where = dict(_cell(text) for text in arguments.where)
    if not path.exists():
        raise ConfigError([f"{path}: cannot be read: No such file or directory"])
    log = _read(path, [column], where)
    schedules = _schedules(arguments, steps=len(log.at))

    from lrdecay import replay, watched
    from lrdecay.cli.terminal import new_console
    from lrdecay.loss_aware_schedule import LOSS

    watches = {text: watched(schedule.init()) for text, schedule in schedules.items()}
    # The column stands for what a trigger monitors by default; one may name another column.
    others = {name for names in watches.values() for name in names} - {LOSS, column}
    if others:
        log = _read(path, [column, *sorted(others)], where)
    replays = {}
    for text, schedule in schedules.items():
        columns = {name: column if name == LOSS else name for name in (LOSS, *watches[text])}
        replays[text] = replay(
            schedule,
            {name: log.values[of] for name, of in columns.items()},
            {name: log.present[of] for name, of in columns.items()},
        )
    console = new_console()
    _print_curve(console, log, column, replays)
    _print_table(console, log, column, replays)
    console.print(f"The rate is {arguments.base} x {arguments.how}.", soft_wrap=True)
    if arguments.out is not None:
        from lrdecay.figures import replayed, save

        save(replayed(log, column, replays), arguments.out)
        console.print(f"Figure: {arguments.out}", soft_wrap=True)
    return 0


def _cell(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        raise ConfigError([f"--where must be COLUMN=VALUE, got {text!r}"])
    return column, value


def _read(path: Path, columns: Sequence[str], where: Mapping[str, str]) -> "Log":
    from lrdecay.logs import LogError, read

    try:
        return read(path, columns, where)
    except LogError as error:
        raise ConfigError([str(error)]) from error


def _schedules(arguments: argparse.Namespace, steps: int) -> "dict[str, LossAware]":
    """The schedule of each trigger, by what the user calls it."""
    from lrdecay import loss_aware
    from lrdecay.study.sections import RunLength, build

    # In a log, an epoch is as good as a row.
    run = RunLength(steps_per_epoch=1, epochs=steps)
    problems: list[str] = []

    def part(kind: str, text: str) -> Any:
        described = section(kind, text)
        return build(kind, described, described["name"], problems, run)

    try:
        base = float(arguments.base)
    except ValueError:
        base = part("schedule", arguments.base)
    how = part("decay", arguments.how)
    triggers = {text: part("trigger", text) for text in arguments.when or ["plateau"]}
    if problems:
        raise ConfigError(problems)
    try:
        return {text: loss_aware(base, when=when, how=how) for text, when in triggers.items()}
    except (TypeError, ValueError) as error:
        raise ConfigError([str(error)]) from error


def _print_curve(
    console: "Console", log: "Log", column: str, replays: "Mapping[str, Replay]"
) -> None:
    """The curve in block characters, and a line a trigger with a mark where it fires."""
    import numpy as np

    from lrdecay.cli.terminal import chart, marks
    from lrdecay.logs import spans_a_decade

    present = log.present[column]
    finite = present & np.isfinite(log.values[column])
    known = log.values[column][finite]
    logarithmic = spans_a_decade(known)
    console.print(
        f"{column}: {present.sum()} values, {_when(log, 0)} to {_when(log, -1)}"
        + (
            f"; {present.sum() - len(known)} of them not finite"
            if len(known) < present.sum()
            else ""
        )
        + ("; logarithmic" if logarithmic else "")
    )
    if not len(known):
        return
    labels = [f"{known.max():.4g}", *[""] * (_HEIGHT - 2), f"{known.min():.4g}"]
    margin = max(map(len, labels))
    width = min(console.width - margin - 2, 100)
    width = max(width // len(finite), 1) * min(len(finite), width)  # as wide a column a value
    values = np.where(finite, log.values[column], np.nan)
    lines = chart(np.log10(values) if logarithmic else values, width, _HEIGHT)
    for label, line in zip(labels, lines, strict=True):
        console.print(f"{label:>{margin}} │{line}", soft_wrap=True)
    for text, replay in replays.items():
        fired = np.flatnonzero(np.diff(replay.fires)).tolist()
        if fired:
            console.print(f"{'':>{margin}} │{marks(fired, len(values), width)}", soft_wrap=True)
            console.print(f"{'':>{margin}}  {text}")


def _when(log: "Log", row: int) -> str:
    return f"{log.clock} {log.at[row]:.12g}"


def _print_table(
    console: "Console", log: "Log", column: str, replays: "Mapping[str, Replay]"
) -> None:
    from rich import box
    from rich.table import Column, Table

    head = (Column("when", no_wrap=True), "fires", Column("rate", no_wrap=True))
    grid = Table(*head, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for text, replay in replays.items():
        for i, (event, rate) in enumerate(_events(log, column, replay)):
            grid.add_row(text if i == 0 else "", event, rate)
        grid.add_section()
    console.print(grid)


def _events(log: "Log", column: str, replay: "Replay") -> Iterator[tuple[str, str]]:
    """What a trigger made of the rate, in words: its fires and why, and what holds in the end."""
    import jax
    import numpy as np

    rate = np.asarray(replay.learning_rate)
    change = np.diff(replay.fires)
    fired = np.flatnonzero(change).tolist()
    for k, row in enumerate(fired[:_MOST_FIRES], 1):
        value = f", {column} {log.values[column][row]:.4g}" if log.present[column][row] else ""
        how = f"{k}." if change[row] > 0 else "taken back"
        why = jax.tree.map(lambda x, row=row: x[row + 1], replay.cause).words
        event = f"{how} after {_when(log, row)}{value}\n   {why}"
        yield event, f"{rate[row]:.3g} → {rate[row + 1]:.3g}"
    if len(fired) > _MOST_FIRES:
        yield f"and {len(fired) - _MOST_FIRES} more times", ""
    yield "never" if len(fired) == 0 else "now", f"{rate[-1]:.3g}"
