"""What a terminal shows: its console, and curves in block characters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console

_BLOCKS = " ▁▂▃▄▅▆▇█"


def new_console(quiet: bool = False) -> "Console":
    """A console that prints text as it is, or nothing at all."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, quiet=quiet)
    if not console.is_terminal:
        console.width = max(console.width, 110)  # a file has no edge to wrap at
    return console


def column_of(index: int, n: int, width: int) -> int:
    """The column of the index-th of n values, where they fill a width."""
    return (2 * index + 1) * width // (2 * n)


def chart(
    values: np.ndarray, width: int, height: int = 1, low: float | None = None
) -> tuple[str, ...]:
    """A curve as lines of block characters, the top one first.

    Args:
      values: f[n]; a column whose values are all not finite stays empty.
      width: of a line, in characters; several values in a column are averaged.
      height: number of lines.
      low: the bottom; the smallest value by default.
    """
    columns = np.minimum(np.arange(width) * len(values) // width, len(values) - 1)
    edges = np.append(columns, len(values))
    means = np.full(width, np.nan)
    for i in range(width):
        part = values[edges[i] : max(edges[i + 1], edges[i] + 1)]
        part = part[np.isfinite(part)]
        if len(part):
            means[i] = part.mean(dtype=np.float64)
    known = means[np.isfinite(means)]
    if not len(known):
        return (" " * width,) * height
    bottom = float(known.min()) if low is None else low
    span = float(known.max()) - bottom
    flat = 0.5 if low is None else 0.0
    share = np.where(span > 0, (means - bottom) / (span or 1.0), flat)
    # The smallest value still has a block.
    filled = np.where(np.isfinite(means), np.round(1 + share * (8 * height - 1)), 0).astype(int)
    return tuple(
        "".join(_BLOCKS[level] for level in np.clip(filled - 8 * row, 0, 8))
        for row in reversed(range(height))
    )


def marks(indices: Sequence[int], n: int, width: int) -> str:
    """A line with a triangle under each of some of n values, where they fill a width."""
    line = [" "] * width
    for index in indices:
        line[column_of(index, n, width)] = "▲"
    return "".join(line)
