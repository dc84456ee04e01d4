"""A study's folder on disk: what is in it, and whose it is."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lrdecay.study.config import ConfigError

# Begins the name of a file that is being written.
PART = ".part-"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` fill a temporary file beside `path`, then puts it in its place."""
    temporary = path.with_name(f"{PART}{path.name}")
    write(temporary)
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON atomically."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    """The paths of the values that differ; the order of keys, which is that of the arms, counts."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [path]
    keys = [*new, *(key for key in old if key not in new)]
    if len(keys) == len(old) == len(new) and keys != list(old):
        return [f"order of {path}"]
    inner = (_differences(old.get(k), new.get(k), f"{path}.{k}".lstrip(".")) for k in keys)
    return [difference for differences in inner for difference in differences]


class Folder:
    """A study's folder.

    `study.json` (resolved configuration and versions) comes first; `runs/` holds one file for each
    run, as far as it is; `summary.json` comes last, and says that the study is done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.study = path / "study.json"
        self.runs = path / "runs"
        self.history = path / "history.npz"
        self.metrics = path / "metrics.jsonl"
        self.report = path / "report.html"
        self.figure = path / "curves.svg"
        self.summary = path / "summary.json"

    def check(self, study: dict[str, Any], overwrite: bool) -> None:
        """Raises if the folder holds something else than the study; changes nothing.

        Args:
          study: what makes the study what it is: its configuration and versions.
          overwrite: whether another study may be deleted.

        Raises:
          ConfigError: another study, or files that are no study's, which are never deleted.
        """
        there = next(p for p in (self.path, *self.path.parents) if p.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise ConfigError([f"--out must be a folder that can be written, got {self.path}"])
        if not self.path.exists():
            return
        found = self._read_study()
        # Another program's file may have the same name.
        if not isinstance(found, dict) or found.keys() != study.keys():
            # Stopped while it wrote its first file, a study leaves a part of that alone.
            if any(not file.name.startswith(PART) for file in self.path.iterdir()):
                raise ConfigError(
                    [f"--out must be a new folder or a study's, got {self.path} with other files"]
                )
            return
        different = _differences(found, study)
        if different and not overwrite:
            raise ConfigError(
                [
                    f"{self.path} holds another study (different: {', '.join(different)}): "
                    "give another --out, or --overwrite to delete it"
                ]
            )

    def _read_study(self) -> Any:
        """What `study.json` holds; None where there is no such file, or it is not JSON."""
        try:
            return json.loads(self.study.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def open(self, study: dict[str, Any], overwrite: bool) -> None:
        """Makes the folder ready for the runs that are missing; `check` comes first."""
        if overwrite:
            self._clear()
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.study, study)  # first, as it marks the folder as a study's
        self.runs.mkdir(exist_ok=True)

    def run(self, arm: int, seed: int) -> Path:
        """The file of a run, by the index of its arm and its seed."""
        return self.runs / f"{arm}-{seed}.npz"

    @property
    def done(self) -> bool:
        """Whether the study in it is finished."""
        return self.summary.exists()

    def finish(self, *, report: str, figure: str, summary: dict[str, Any]) -> None:
        """Writes the results, the summary last, and deletes the runs, which the history holds."""
        write_atomically(self.report, lambda p: p.write_text(report, encoding="utf-8"))
        write_atomically(self.figure, lambda p: p.write_text(figure, encoding="utf-8"))
        write_json(self.summary, summary)
        for file in self.runs.glob("*.npz"):
            file.unlink()
        if not any(self.runs.iterdir()):
            self.runs.rmdir()

    def _clear(self) -> None:
        """Deletes what a study wrote, and nothing else; `study.json` is left to be replaced."""
        results = (self.summary, self.report, self.figure, self.metrics, self.history)
        for file in (*results, *self.runs.glob("*.npz")):
            file.unlink(missing_ok=True)
