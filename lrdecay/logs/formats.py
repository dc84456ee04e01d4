"""One reader a format, each from a file to rows: a dict of cells by column, None for no cell.

A cell is a number, or text that may be one. It is absent where the log says nothing (an empty cell,
a key that is not there, a null of Parquet), and not where what was recorded is NaN.
"""

import csv
import gzip
import io
import itertools
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lrdecay.logs import events

Row = dict[str, Any]


class LogError(ValueError):
    """A log that cannot be read, or does not hold what is asked for, in one line."""


def rows(path: Path) -> Iterator[Row]:
    """The rows of a log, in order.

    Args:
      path: a file, by its name CSV, TSV, JSON, JSON lines (each also with .gz), Parquet, NPZ or
        TensorBoard's events; or a folder of TensorBoard's.

    Raises:
      LogError: the log cannot be read; the message names the file and what is wrong with it.
    """
    try:
        for file in _files(path):
            yield from _reader(file)(file)
    except UnicodeDecodeError as error:
        raise LogError(f"{path}: not a text file") from error
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (
        ValueError,
        EOFError,
        RecursionError,
        csv.Error,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise LogError(f"{path}: {str(error).splitlines()[0]}") from error


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    if files := sorted(path.glob("*tfevents*")):
        return files
    inside = sorted({f for p in ("*", "*/*") for f in path.glob(p) if _known(f)})
    found = ", ".join(str(f.relative_to(path)) for f in inside[:5]) or "none"
    raise LogError(f"a folder without TensorBoard's event files; logs in it: {found}")


def _reader(path: Path) -> Callable[[Path], Iterable[Row]]:
    if reader := _known(path):
        return reader
    raise LogError(
        f"unknown kind of log; allowed: {', '.join(_READERS)} (text also with .gz), and "
        "TensorBoard's event files"
    )


def _known(path: Path) -> Callable[[Path], Iterable[Row]] | None:
    if "tfevents" in path.name:
        return events.rows
    return _READERS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def _text(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix.lower() == ".gz":
        data = gzip.decompress(data)
    return data.decode("utf-8-sig")


def _csv(path: Path) -> Iterator[Row]:
    """Also Keras's and Lightning's: an empty cell, or Keras's NA, is no observation."""
    text = _text(path)
    delimiter = max(",\t;", key=text.partition("\n")[0].count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = [name.strip() for name in next(table, [])]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise LogError(f"two columns are called {twice[0]!r}")
    for row in table:
        if row and len(row) != len(names):
            raise LogError(f"line {table.line_num} must have {len(names)} cells, got {len(row)}")
        if row:
            cells = (None if cell.strip() in ("", "NA") else cell for cell in row)
            yield dict(zip(names, cells, strict=True))


def _json(path: Path) -> Iterator[Row]:
    """JSON lines, a list of rows, or a dict of columns such as Keras's `History.history`.

    A null stands for a number that JSON does not have, NaN; no observation is a key left out.
    """
    text = _text(path)
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = [_line(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if isinstance(found, dict):
        columns = {name: x for name, x in found.items() if isinstance(x, list)}
        if columns:
            yield from _transposed({name: list(map(_cell, x)) for name, x in columns.items()})
            return
    for row in found if isinstance(found, list) else [found]:
        if not isinstance(row, dict):
            raise LogError(f"its rows must be objects, such as {{'loss': 0.5}}, got {row!r:.40}")
        yield {name: _cell(x) for name, x in row.items()}


def _cell(x: Any) -> Any:
    return np.nan if x is None else x


def _line(number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise LogError(f"line {number}: not JSON: {error.msg}") from error


def _npz(path: Path) -> Iterator[Row]:
    """An array of more than one dimension is a column for each of its curves: `loss[0,3]`."""
    if not zipfile.is_zipfile(path):
        raise LogError("not an NPZ archive")
    with np.load(path, allow_pickle=False) as arrays:
        columns = {
            f"{name}[{','.join(map(str, index))}]" if index else name: array[index].tolist()
            for name, array in arrays.items()
            if isinstance(array, np.ndarray) and array.ndim > 0
            for index in np.ndindex(array.shape[:-1])
        }
    yield from _transposed(columns)


def _transposed(columns: Mapping[str, list[Any]]) -> Iterator[Row]:
    """The rows of columns, which need not be of one length."""
    for row in itertools.zip_longest(*columns.values()):
        yield dict(zip(columns, row, strict=True))


def _parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise LogError(
            "Parquet needs pyarrow, which is not installed: pip install 'lrdecay[parquet]'"
        ) from error
    with ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


_READERS: dict[str, Callable[[Path], Iterable[Row]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json,
    ".jsonl": _json,
    ".npz": _npz,
    ".parquet": _parquet,
}
