"""`lrdecay bench`: how fast studies compile and train on this machine."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrdecay.cli.backend import use_every_core
from lrdecay.cli.notation import check_figure, config_file, shipped
from lrdecay.study.config import ConfigError, override, read

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lrdecay.benchmark.report import Report
    from lrdecay.benchmark.study import Result
    from lrdecay.benchmark.timing import Spread

# What the built-in suite replaces in the configurations that ship: it needs no files.
_IMAGES = {"name": "lrdecay.benchmark.study:random_images"}
SUITE: dict[str, dict[str, Any]] = {"digits": {}, "fashion_mnist": {"data": _IMAGES}}

_REPEATS = 30


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Says what the command takes."""
    bench = commands.add_parser(
        "bench",
        help="measure how fast studies compile and train here",
        description="Measures compilation, steps, schedules and scaling on a CPU, GPU or TPU.",
    )
    bench.add_argument(
        "config",
        nargs="?",
        type=Path,
        help="a TOML file, or the name of one that ships (default: the built-in suite)",
    )
    bench.add_argument(
        "settings",
        nargs="*",
        default=[],
        metavar="key.path=value",
        help="replaces a value of the file, as in model.size=large or batch_size=256",
    )
    bench.add_argument("--out", type=Path, metavar="FILE", help="write every number, as JSON")
    bench.add_argument("--plot", type=Path, metavar="FILE", help="draw a figure, .png or .svg")
    bench.add_argument(
        "--compare", type=Path, metavar="FILE", help="show ratios to an earlier --out"
    )
    bench.add_argument(
        "--profile", type=Path, metavar="DIR", help="write a trace of steps by JAX's profiler"
    )
    bench.add_argument(
        "--repeats",
        type=int,
        default=_REPEATS,
        metavar="N",
        help=f"rounds of timing (default: {_REPEATS})",
    )
    bench.set_defaults(call=_call)


def _check_file(option: str, path: Path | None) -> None:
    if path is None:
        return
    if not path.parent.is_dir() or path.is_dir():
        raise ConfigError([f"{option} must be a file in a folder that is there, got {path}"])
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError([f"{option}: {path} cannot be written"])


def _raw(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The configurations to measure, not yet checked."""
    if arguments.config is not None and "=" not in str(arguments.config):
        return [override(read(config_file(arguments.config)), arguments.settings)]
    # Without a configuration, argparse takes the first setting for one.
    first = [] if arguments.config is None else [str(arguments.config)]
    files = shipped()
    return [
        override({**read(files[name]), **changed}, [*first, *arguments.settings])
        for name, changed in SUITE.items()
    ]


def _call(arguments: argparse.Namespace) -> int:
    if arguments.repeats < 1:
        raise ConfigError([f"--repeats must be an integer of at least 1, got {arguments.repeats}"])
    raws = _raw(arguments)
    _check_file("--out", arguments.out)
    check_figure(arguments.plot, "--plot")
    _check_file("--plot", arguments.plot)
    if arguments.profile is not None and arguments.profile.is_file():
        raise ConfigError([f"--profile must be a folder, got {arguments.profile}"])
    for raw in raws:
        use_every_core(raw)

    import jax

    from lrdecay.benchmark import report as reports
    from lrdecay.benchmark.study import bench
    from lrdecay.benchmark.timing import rooflines
    from lrdecay.cli.terminal import new_console
    from lrdecay.figures import save
    from lrdecay.study.plan import plan
    from lrdecay.study.run import versions

    compared: Path | None = arguments.compare
    earlier = None if compared is None else reports.read(compared)
    plans = [plan(raw) for raw in raws]
    for study in plans:
        study.place(jax.device_count(), jax.default_backend())  # refused before any work
    console = new_console()
    with console.status("rooflines") as status:
        reached = rooflines()
        results = []
        for study in plans:
            name = study.config.name

            def on_stage(stage: str, name: str = name) -> None:
                status.update(f"{name}: {stage}")
                if not console.is_terminal:
                    console.print(f"{name}: {stage}")

            folder = None if arguments.profile is None else arguments.profile / name
            results.append(bench(study, arguments.repeats, on_stage, folder))
    report = reports.Report(versions(), jax.device_count(), reached, tuple(results))
    _show(console, report)
    if compared is not None and earlier is not None:
        _compare(console, report, earlier, compared)
    if arguments.out is not None:
        reports.write(arguments.out, report)
    if arguments.plot is not None:
        save(reports.figure(report), arguments.plot)
    return 0


def _number(x: float | None, unit: str = "") -> str:
    """Three digits, with a prefix: 12.3 G."""
    if x is None:
        return "?"
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if x >= size:
            return f"{x / size:.3g} {prefix}{unit}"
    return f"{x:.3g} {unit}".rstrip()


def _milliseconds(x: "Spread") -> str:
    low, median, high = (f"{1e3 * v:.3g}" for v in (x.low, x.median, x.high))
    return f"{median} [{low}, {high}]"


def _percent(x: float | None) -> str:
    return "?" if x is None else f"{100 * x:.3g} %"


def _table(title: str, *columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        grid.add_column(column, justify="right" if i else "left")
    return grid


def _facts(report: "Report", result: "Result") -> Iterator[tuple[str, str]]:
    compilation, step = result.compilation, result.step
    yield "trace, lower", f"{compilation.trace:.2f} s, {compilation.lower:.2f} s"
    yield "compile, cold", f"{compilation.cold:.2f} s"
    yield "compile, cached", f"{compilation.cached:.2f} s"
    yield "step", f"{_milliseconds(step)} ms, at least {1e3 * step.minimum:.3g}"
    yield "examples/s", _number(result.batch_size / step.median)
    yield "FLOP a step", _number(result.cost.flops)
    yield "bytes a step", _number(result.cost.bytes_accessed, "B")
    yield "of the matrix product", _percent(report.share_of_flops(result))
    yield "of the copy", _percent(report.share_of_bytes(result))
    yield "memory", _number(result.memory_bytes, "B")


def _show(console: "Console", report: "Report") -> None:
    speeds = report.rooflines
    console.print(f"{report.device}, JAX {report.environment['jax']}")
    console.print(
        f"One device reaches {_number(speeds.flops_per_second, 'FLOP/s')} in a matrix product and "
        f"{_number(speeds.bytes_per_second, 'B/s')} in a copy."
    )
    facts = [dict(_facts(report, result)) for result in report.results]
    names = [f"{result.name}, batch {result.batch_size}" for result in report.results]
    grid = _table("One run on one device (median and quartiles)", "", *names)
    for fact in facts[0]:
        grid.add_row(fact, *(column[fact] for column in facts))
    console.print(grid)
    grid = _table("What a schedule adds to the first arm's step", "arm", "%", "quartiles")
    for result in report.results:
        for name, ratio in result.schedules.items():
            low, median, high = (
                f"{100 * (x - 1):+.2f}" for x in (ratio.low, ratio.median, ratio.high)
            )
            grid.add_row(f"{result.name}: {name}", median, f"[{low}, {high}]")
    if grid.row_count:
        console.print(grid)
    grid = _table("Runs at once", "study", "runs", "devices", "step of all, ms", "examples/s", "")
    for result in report.results:
        one = result.scaling[0].examples_per_second
        for scale in result.scaling:
            speed = scale.examples_per_second
            grid.add_row(
                *(result.name, f"{scale.runs}", f"{scale.devices}", _milliseconds(scale.step)),
                *(_number(speed), f"x {speed / one:.2f}"),
            )
    console.print(grid)


def _compare(console: "Console", new: "Report", old: "Report", path: Path) -> None:
    from lrdecay.benchmark.report import compare

    if new.device != old.device:
        console.print(f"{path} is of another device: {old.device}", soft_wrap=True)
    grid = _table(f"Against {path}", "", "then", "now", "ratio")
    for name, (before, now, ratio) in compare(new, old).items():
        grid.add_row(name, _number(before), _number(now), f"{ratio:.3g}")
    console.print(grid)
