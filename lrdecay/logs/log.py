"""From a log to the curves in it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lrdecay.logs.formats import LogError, Row, rows
from lrdecay.registry import did_you_mean

# What logs call the clock of a row, by preference.
CLOCKS = ("step", "global_step", "epoch")
_MOST_NAMES = 20  # in a message


class Log(NamedTuple):
    """Some columns of a log: the n rows in which at least one of them has a value.

    Attributes:
      clock: the column that says when a row was: "step", "global_step" or "epoch"; "index" where
        none does, and these rows are counted from 0.
      at: when each row was, f64[n], never falling.
      values: what was recorded, f64[n] by column; 0 where nothing was.
      present: where something was, bool[n] by column. A recorded NaN is something.
    """

    clock: str
    at: np.ndarray
    values: dict[str, np.ndarray]
    present: dict[str, np.ndarray]


def read(path: Path, columns: Sequence[str], where: Mapping[str, str] | None = None) -> Log:
    """Reads columns of a log; `lrdecay.logs.formats.rows` says of which formats.

    Args:
      path: the log.
      columns: the names of the columns.
      where: keeps only the rows with these cells, by column, as `{"arm": "cosine", "seed": "0"}`.

    Raises:
      LogError: the log cannot be read, has no such column or row, has something else than numbers
        in the column, or is of several runs. One line, which begins with the path.
    """
    where = where or {}
    seen: Row = {}
    found: dict[str, dict[Any, None]] = {name: {} for name in where}
    kept: list[Row] = []
    before: Row | None = None
    shared: Row = {}  # what all rows so far have in common
    for row in rows(path):
        seen |= row
        for name in where:
            found[name][row.get(name)] = None
        if not all(_same(row.get(name), cell) for name, cell in where.items()):
            continue
        if before is None:
            shared = dict(row)
        elif clock := _falling(before, row):
            _check_one_run(path, clock, shared, row)
        shared = {name: cell for name, cell in shared.items() if row.get(name) == cell}
        before = row
        if any(row.get(name) is not None for name in columns):
            kept.append({name: row.get(name) for name in (*CLOCKS, *columns)})
    if not seen:
        raise LogError(f"{path}: no rows")
    for name in (*columns, *where):
        if name not in seen:
            raise LogError(f"{path}: no column {name!r}; {_names(name, seen)}")
    for name, cell in where.items():
        if not any(_same(x, cell) for x in found[name]):
            raise LogError(f"{path}: no row where {name} is {cell!r}; {_names(cell, found[name])}")
    values = {name: _numbers(path, name, [row[name] for row in kept]) for name in columns}
    present = {name: np.array([row[name] is not None for row in kept], bool) for name in columns}
    for name in columns:
        if not present[name].any():
            raise LogError(f"{path}: column {name!r} has no values")
    return Log(*_clock(kept), values, present)


def _names(word: str, known: Iterable[Any]) -> str:
    """The end of an error about an unknown name: a guess, and what there is."""
    names = [str(name) for name in known if name is not None]
    said = did_you_mean(word, names)
    if len(names) <= _MOST_NAMES:
        return said
    guess = said.partition("allowed: ")[0]
    return f"{guess}allowed: {', '.join(names[:_MOST_NAMES])}, and {len(names) - _MOST_NAMES} more"


def _float(cell: Any) -> float | None:
    """A cell as a number; None where it is none."""
    if not isinstance(cell, str | int | float) or isinstance(cell, bool):
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return None


def _same(cell: Any, text: str) -> bool:
    number = _float(text)
    return str(cell) == text or (number is not None and _float(cell) == number)


def _falling(before: Row, row: Row) -> str | None:
    """The clock that goes back from one row to the next; None where none does."""
    for clock in CLOCKS:
        old, new = _float(before.get(clock)), _float(row.get(clock))
        if old is not None and new is not None and new < old:
            return clock
    return None


def _check_one_run(path: Path, clock: str, shared: Row, row: Row) -> None:
    """A clock may go back where a run was resumed; not where the run itself is another."""
    others = [name for name in shared if name not in CLOCKS and row.get(name) != shared[name]]
    if others:
        name = others[0]
        raise LogError(
            f"{path}: several runs, since {clock} goes back where {name} changes from "
            f"{shared[name]} to {row.get(name)}: choose one, as in --where {name}={shared[name]}"
        )


def _numbers(path: Path, name: str, cells: Sequence[Any]) -> np.ndarray:
    numbers = [0.0 if cell is None else _float(cell) for cell in cells]
    if None in numbers:
        bad = cells[numbers.index(None)]
        raise LogError(f"{path}: column {name!r} must be numbers, got {bad!r:.40}")
    return np.array(numbers, np.float64)


def _clock(kept: Sequence[Row]) -> tuple[str, np.ndarray]:
    """The first clock that every row has and that never goes back."""
    for clock in CLOCKS:
        at = np.array([_float(row[clock]) for row in kept], np.float64)  # None becomes NaN
        if np.all(np.diff(at) >= 0) and np.isfinite(at).all():
            return clock, at
    return "index", np.arange(len(kept), dtype=np.float64)


def spans_a_decade(values: np.ndarray) -> bool:
    """Whether the finite ones of some values are above 0, and span more than a decade."""
    values = values[np.isfinite(values)]
    return len(values) > 0 and bool(values.max() > 10 * values.min() > 0)
