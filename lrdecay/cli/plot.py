"""`lrdecay plot`: schedules before training."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrdecay.cli.notation import check_figure, config_file, section, shipped
from lrdecay.registry import FACTORIES, did_you_mean
from lrdecay.study.config import ConfigError, read

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

_STEPS = 1000


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Says what the command takes."""
    plot = commands.add_parser(
        "plot",
        help="show schedules before training",
        description="Shows the rate of each step, as it is while nothing is observed.",
    )
    plot.add_argument(
        "schedules",
        nargs="+",
        metavar="SCHEDULE",
        help="NAME:key=value,key=value, as in cosine:0.1,decay_fraction=1; or a configuration, for "
        "all of its arms, or CONFIG:ARM",
    )
    plot.add_argument(
        "--steps", type=int, help=f"length of the run (default: the configuration's, or {_STEPS})"
    )
    plot.add_argument(
        "--epochs", type=int, help="epochs in the run (default: the configuration's, or 1)"
    )
    plot.add_argument("--out", type=Path, metavar="FILE", help="draw a figure, .png or .svg")
    plot.set_defaults(call=_call)


def _call(arguments: argparse.Namespace) -> int:
    check_figure(arguments.out)
    for name in ("steps", "epochs"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ConfigError([f"--{name} must be an integer of at least 1, got {value}"])
    rates: dict[str, np.ndarray] = {}
    for text in arguments.schedules:
        for name, rate in _rates(text, arguments.steps, arguments.epochs).items():
            rates[name if name not in rates else f"{text}:{name}"] = rate

    from lrdecay.cli.terminal import new_console

    console = new_console()
    console.print(_table(rates))
    if arguments.out is not None:
        from lrdecay.figures import previewed, save

        save(previewed(rates), arguments.out)
        console.print(f"Figure: {arguments.out}", soft_wrap=True)
    return 0


def _rates(text: str, steps: int | None, epochs: int | None) -> "dict[str, np.ndarray]":
    """The rates of the schedules that an argument stands for, by name."""
    head, _, arm = text.partition(":")
    is_name = head in FACTORIES["schedule"] or not (head.endswith(".toml") or head in shipped())
    if is_name:
        raw, arms, where = {}, {text: section("schedule", text)}, ""
    else:
        path = config_file(Path(head))
        raw = read(path) | ({} if epochs is None else {"epochs": epochs})
        arms, where = _arms(path, raw, arm), "arms."

    from lrdecay.study.plan import parted, plan
    from lrdecay.study.sections import RunLength, build

    if raw and steps is None:
        run = plan(raw).run
    else:
        steps, epochs = steps or _STEPS, raw.get("epochs", epochs or 1)
        if steps % epochs:
            raise ConfigError([f"--steps must be a multiple of the {epochs} epochs, got {steps}"])
        run = RunLength(steps // epochs, epochs)
    problems: list[str] = []
    schedules = {
        name: build("schedule", parted(arm)[0], f"{where}{name.partition(':')[0]}", problems, run)
        for name, arm in arms.items()
    }
    if problems:
        raise ConfigError(problems)
    return {name: preview(schedule, run.steps) for name, schedule in schedules.items()}


def _arms(path: Path, raw: Mapping[str, Any], arm: str) -> dict[str, Any]:
    """The arms of a configuration, or the one that is asked for."""
    arms = raw.get("arms")
    if not isinstance(arms, dict):
        raise ConfigError([f"{path}: arms must be a section of sections, got {arms!r}"])
    if arm and arm not in arms:
        raise ConfigError([f"{path}: no arm {arm!r}; {did_you_mean(arm, arms)}"])
    return {name: arms[name] for name in ([arm] if arm else arms)}


def preview(schedule: Any, steps: int) -> "np.ndarray":
    """The rate of each step, f[steps], of a schedule that observes nothing.

    Args:
      schedule: a schedule, stateful or not.
      steps: the number of steps.
    """
    import numpy as np
    from optax.schedules import StatefulSchedule

    from lrdecay import replay, watched
    from lrdecay.loss_aware_schedule import LOSS

    names = watched(schedule.init()) if isinstance(schedule, StatefulSchedule) else ()
    nothing = {name: np.zeros(steps) for name in names or (LOSS,)}
    absent = {name: np.zeros(steps, bool) for name in nothing}
    return np.asarray(replay(schedule, nothing, absent).learning_rate[:-1])


def _table(rates: "Mapping[str, np.ndarray]") -> "Table":
    from rich import box
    from rich.table import Table

    from lrdecay.cli.terminal import chart

    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    grid.add_column("schedule", overflow="fold")
    grid.add_column("rate, from 0 up", no_wrap=True)
    for heading in ("steps", "first", "highest", "at step", "last"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for name, rate in rates.items():
        numbers = (f"{x:.3g}" for x in (rate[0], rate.max()))
        grid.add_row(
            name,
            chart(rate, 32, low=0.0)[0],
            str(len(rate)),
            *numbers,
            str(rate.argmax()),
            f"{rate[-1]:.3g}",
        )
    return grid
