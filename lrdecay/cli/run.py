"""`lrdecay run`: a study."""

import argparse
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrdecay.cli.backend import keep_compiled_programs, use_every_core
from lrdecay.cli.notation import config_file
from lrdecay.study.config import ConfigError, override, read

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lrdecay.study.history import History
    from lrdecay.study.plan import Plan
    from lrdecay.study.run import OnProgress, OnRetired
    from lrdecay.training.placement import Placement


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Says what the command takes."""
    run = commands.add_parser(
        "run",
        help="run a study and write its report",
        description="Runs a study: every arm with every seed. Stopped, the same command resumes.",
    )
    run.add_argument("config", type=Path, help="a TOML file, or the name of one that ships")
    run.add_argument(
        "settings",
        nargs="*",
        default=[],  # without it argparse says that one is required
        metavar="key.path=value",
        help="replaces a value of the file, as in epochs=5 or arms.plateau.when.patience=3",
    )
    run.add_argument("--out", type=Path, help="the study's folder (default: runs/NAME)")
    run.add_argument(
        "--overwrite", action="store_true", help="delete what the study's folder holds"
    )
    run.add_argument(
        "--hosts",
        metavar="WHO",
        help="join with other processes that run the same command: auto, where the cluster knows "
        "them, or ADDRESS:PORT,PROCESSES,INDEX",
    )
    run.set_defaults(call=_call)


def _call(arguments: argparse.Namespace) -> int:
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        command = "the command without --overwrite" if arguments.overwrite else "the same command"
        print(f"lrdecay: stopped; {command} goes on from here", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    start = time.perf_counter()
    overwrite = arguments.overwrite
    raw = override(read(config_file(arguments.config)), arguments.settings)
    use_every_core(raw)
    keep_compiled_programs()
    if arguments.hosts is not None:
        _join(arguments.hosts)

    import jax

    from lrdecay.cli.terminal import new_console
    from lrdecay.study.folder import Folder
    from lrdecay.study.history import load
    from lrdecay.study.plan import plan
    from lrdecay.study.run import identity, run
    from lrdecay.training.hosts import is_first, wait

    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # for a project's own factories, after all that is installed
    study = plan(raw)
    placement = study.place(jax.device_count(), jax.default_backend())
    folder = Folder(arguments.out or Path("runs") / study.config.name)
    this = identity(study)
    folder.check(this, overwrite)
    console = new_console(quiet=not is_first())
    _show(console, study, placement, folder.path)

    if folder.done and not overwrite:
        console.print(_table(study, load(folder.history)))
        console.print(f"This study is done. Report: {folder.report}", soft_wrap=True)
        return 0
    data = study.load()
    if is_first():
        folder.open(this, overwrite)
    wait("the folder is ready")
    with _progress(console, study) as told:
        history, timing = run(study, data, folder, placement, *told)

    # Only now: what draws and computes statistics takes a while to import.
    from lrdecay.study.results import facts_of, write_results

    seconds = time.perf_counter() - start
    if is_first():
        write_results(study, folder, history, timing, seconds)
    console.print(_table(study, history))
    console.print(facts_of(study, timing, seconds))
    console.print(f"Report: {folder.report}", soft_wrap=True)
    return 0


def _table(study: "Plan", history: "History") -> "Table":
    from lrdecay.study.report import table
    from lrdecay.study.results import summaries_of

    return table(summaries_of(study, history))


def _join(hosts: str) -> None:
    from lrdecay.training.hosts import connect

    try:
        connect(hosts)
    except (ValueError, RuntimeError) as error:
        raise ConfigError([f"--hosts: {error}"]) from error


def _show(console: "Console", study: "Plan", placement: "Placement", folder: Path) -> None:
    """Says what is about to run, and where."""
    from rich.table import Table

    from lrdecay.study.words import as_call, count

    config, run = study.config, study.run
    grid = Table("arm", "schedule", title=f"{config.name}: the plan", title_justify="left")
    for name, section in study.resolved["arms"].items():
        grid.add_row(name, as_call(section))
    console.print(grid)
    console.print(
        f"{count(len(study.arms), 'arm')} x {count(len(config.seed_list), 'seed')} = "
        f"{count(len(study.arms) * len(config.seed_list), 'run')} of {count(run.steps, 'step')} "
        f"({count(config.epochs, 'epoch')} of {run.steps_per_epoch}, "
        f"batches of {config.batch_size}); "
        f"data {as_call(study.resolved['data'])}; model {as_call(study.resolved['model'])}; "
        f"optimizer {as_call(study.resolved['optimizer'])}; into {folder}"
    )
    if len(study.stages) > 1:
        stages = (f"{count(arms, 'arm')} to epoch {epochs}" for epochs, arms in study.stages)
        console.print(f"Successive halving: {', '.join(stages)}.")
    for arms in study.groups if len(study.groups) > 1 else ():
        console.print(f"One program for {', '.join(study.arms[i].name for i in arms)}.")
    console.print(_where(placement))


def _where(placement: "Placement") -> str:
    """Where the runs are computed, in words."""
    import jax

    from lrdecay.study.words import count

    device = jax.devices()[0]
    at_once = count(placement.at_once, "run")
    each = count(placement.lanes, "run")
    devices = count(placement.groups * placement.sharing, f"{device.platform} device")
    shared = f", each mini-batch shared by {placement.sharing}" if placement.sharing > 1 else ""
    return f"{at_once} at once on {devices}: {each} on each{shared}."


@contextlib.contextmanager
def _progress(console: "Console", study: "Plan") -> "Iterator[tuple[OnProgress, OnRetired]]":
    """A bar with the time left; a line an arm where the output is no terminal, or it is retired."""
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    arm_steps = len(study.config.seed_list) * study.run.steps
    done: Counter[str] = Counter()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("compiling", total=study.steps)

        def on_progress(arm: str, seed: int, steps: int) -> None:
            bar.update(task, advance=steps, description=f"{arm}, seed {seed}")
            done[arm] += steps
            if done[arm] == arm_steps and not console.is_terminal:
                console.print(f"{arm}: done")

        def on_retired(epoch: int, arms: Sequence[str]) -> None:
            console.print(f"retired after epoch {epoch}: {', '.join(arms)}")

        yield on_progress, on_retired
