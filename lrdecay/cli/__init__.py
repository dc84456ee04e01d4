"""The command line: parse, call, print."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lrdecay import __version__
from lrdecay.cli import bench, plot, replay, run
from lrdecay.cli import list as names
from lrdecay.study.config import ConfigError

# Each command is a module with `add(commands)`, which says what it takes. Everything that imports
# JAX is imported inside of the functions that need it: help and the commonest mistakes answer at
# once.
COMMANDS = (run, replay, names, plot, bench)

# The modules of the extra `study`, without which the library itself works.
STUDY_EXTRA = ("matplotlib", "pydantic", "pydantic_core", "rich")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 2 for a mistake of the user's."""
    parser = argparse.ArgumentParser(
        prog="lrdecay", description="When and how should a learning rate fall?"
    )
    parser.add_argument("--version", action="version", version=f"lrdecay {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    # argparse takes no settings after an option, and leaves them over.
    arguments, late = parser.parse_known_args(argv)
    if late and (any(word.startswith("-") for word in late) or "settings" not in arguments):
        parser.error(f"unrecognized arguments: {' '.join(late)}")
    if late:
        arguments.settings = [*arguments.settings, *late]
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # for factories of the user's own, as with `python -m`
    try:
        return arguments.call(arguments)
    except ConfigError as error:
        for problem in error.problems:
            print(f"lrdecay: {problem}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in STUDY_EXTRA:
            raise
        print(f'lrdecay: {missing} is not installed: pip install "lrdecay[study]"', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lrdecay: stopped", file=sys.stderr)
        return 130
