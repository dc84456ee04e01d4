"""The command line: parse, call, print."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrdecay import __version__
from lrdecay.study.config import ConfigError, override, read

if TYPE_CHECKING:
    from lrdecay.study.plan import Plan

# Everything that imports JAX is imported inside of the functions that need it: help and the
# commonest mistakes answer at once.


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lrdecay", description="When and how should a learning rate fall?"
    )
    parser.add_argument("--version", action="version", version=f"lrdecay {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a study and write its report",
        description="Runs a study: every arm with every seed. Stopped, the same command resumes.",
    )
    run.add_argument("config", type=Path, help="a TOML file, or the name of one that ships")
    run.add_argument(
        "settings",
        nargs="*",
        metavar="key.path=value",
        help="replaces a value of the file, as in epochs=5 or arms.plateau.when.patience=3",
    )
    run.add_argument("--out", type=Path, help="the study's folder (default: runs/NAME)")
    run.add_argument(
        "--overwrite", action="store_true", help="delete what the study's folder holds"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 2 for a mistake of the user's."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments.config, arguments.settings, arguments.out, arguments.overwrite)
    except ConfigError as error:
        for problem in error.problems:
            print(f"lrdecay: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lrdecay: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _shipped(path: Path) -> Path:
    """The configuration of that name that comes with the package, where there is no such file."""
    if path.exists():
        return path
    package = Path(__file__).parent
    name = path.with_suffix(".toml").name
    # Beside the package in a checkout, inside of it in a wheel.
    places = (folder / "configs" / name for folder in (package, package.parent))
    return next((place for place in places if place.exists()), path)


def _run(path: Path, settings: Sequence[str], out: Path | None, overwrite: bool) -> int:
    start = time.perf_counter()
    raw = override(read(_shipped(path)), settings)

    from rich.console import Console

    from lrdecay.study.folder import Folder
    from lrdecay.study.plan import plan
    from lrdecay.study.run import identity

    study = plan(raw)
    folder = Folder(out if out is not None else Path("runs") / study.config.name)
    folder.check(identity(study), overwrite)
    console = Console()
    _show(console, study, folder)
    if folder.done and not overwrite:
        console.print(f"Already done. Report: {folder.report}")
        return 0
    return 0
