"""The style of all figures, and those of a replay and of schedules before training."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from lrdecay.logs import Log, spans_a_decade
from lrdecay.replaying import Replay

# Okabe & Ito's palette, which colour-blind readers can tell apart; black for the reference.
COLOURS = ("#000000", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999933")
STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "lrdecay",
}
_DASHES = ("-", "--", ":")
_BINS = 1000
_MOST_LINES = 30  # more fires of a trigger are marked by triangles alone


def colour(line: int) -> str:
    """The colour of a line, such as that of an arm. Others may share one, but not the first's."""
    return COLOURS[0] if line == 0 else COLOURS[1 + (line - 1) % (len(COLOURS) - 1)]


def svg(figure: Figure) -> str:
    """A figure as an SVG element, to stand in a page or a file of its own."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG or SVG, by the name of the file."""
    if path.suffix.lower() == ".svg":
        path.write_text(svg(figure), encoding="utf-8")
        return
    with matplotlib.rc_context(STYLE):
        figure.savefig(path, dpi=150)


def _extremes(values: np.ndarray) -> np.ndarray:
    """Indices that keep the smallest and the largest value of each of at most `_BINS` bins."""
    n = len(values)
    if n <= 2 * _BINS:
        return np.arange(n)
    starts = np.linspace(0, n, _BINS, endpoint=False).astype(int)
    kept = [0, n - 1]
    for start, part in zip(starts, np.split(values, starts[1:]), strict=True):
        finite = np.isfinite(part)
        kept += [start + np.where(finite, part, np.inf).argmin()]
        kept += [start + np.where(finite, part, -np.inf).argmax()]
    return np.unique(kept)


def _widths(n: int) -> np.ndarray:
    """The first line is the widest, so that of lines that run together each is seen."""
    return np.linspace(1.4 + 0.5 * min(n - 1, 4), 1.4, n)


def _logarithmic(axes: Axes, low: float, high: float) -> None:
    """A logarithmic axis with a little room at its ends, and labels as one writes numbers."""
    axes.set(yscale="log", ylim=(low / 1.6, high * 1.6))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 500 * low else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _logarithmic_rate(axes: Axes, rates: Iterable[ArrayLike], depth: float) -> None:
    """A logarithmic axis down to the lowest rate above 0, but no deeper than that."""
    every = np.concatenate([np.ravel(rate) for rate in rates])
    peak = float(every.max())
    if peak > 0:
        # A rate that goes to 0 would else take the picture down with it.
        lowest = float(every.min(initial=peak, where=every > 0))
        _logarithmic(axes, max(lowest, depth * peak), peak)


def _line(axes: Axes, x: np.ndarray, y: np.ndarray, **style: Any) -> None:
    at = _extremes(y)
    axes.plot(x[at], y[at], **style)


def replayed(log: Log, column: str, replays: Mapping[str, Replay]) -> Figure:
    """A recorded curve with a triangle where each trigger fires, and below it the rates.

    Args:
      log: the log, with n rows.
      column: the curve to show.
      replays: by the trigger's name, over the n rows.
    """
    known = np.flatnonzero(log.present[column] & np.isfinite(log.values[column]))
    curve = log.values[column][known]
    # The rate that comes after the last row reaches one row further.
    x = np.append(log.at, log.at[-1] + (log.at[-1] - log.at[-2] if len(log.at) > 1 else 1))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        _line(above, log.at[known], curve, color="#888888", linewidth=1.2)
        widths = _widths(len(replays))
        for i, (replay, width) in enumerate(zip(replays.values(), widths, strict=True), 1):
            fired = np.flatnonzero(np.diff(replay.fires))
            height = np.interp(fired, known, curve) if len(known) else np.ones(len(fired))
            # The trigger that fires more rarely lies on top.
            marks = {
                "color": colour(i),
                "markeredgecolor": "white",
                "zorder": 3 + 1 / (1 + len(fired)),
            }
            above.plot(log.at[fired], height, "v", markersize=9, **marks)
            for axes in (above, below) if len(fired) <= _MOST_LINES else ():
                for x_fired in log.at[fired]:
                    axes.axvline(x_fired, color=colour(i), linewidth=0.6, alpha=0.5)
            # From each value on, the rate is that to which the values so far have led.
            rate = np.asarray(replay.learning_rate)
            rate = np.append(rate[1:], rate[-1])
            _line(below, x, rate, color=colour(i), linewidth=width, drawstyle="steps-post")
        if spans_a_decade(curve):
            _logarithmic(above, float(curve.min()), float(curve.max()))
        _logarithmic_rate(below, (replay.learning_rate for replay in replays.values()), 1e-8)
        above.set_title(f"{column} (triangle: the trigger fires)", loc="left")
        below.set_title("Learning rate", loc="left")
        below.set_xlabel(log.clock)
        handles = [
            above.plot([], [], "v-", color=colour(i), linewidth=2, markersize=8)[0]
            for i in range(1, len(replays) + 1)
        ]
        figure.legend(handles, replays, loc="outside upper center", ncols=3, frameon=False)
    return figure


def previewed(rates: Mapping[str, np.ndarray]) -> Figure:
    """Schedules before training, on a linear and on a logarithmic axis.

    Args:
      rates: the rate of each step, f[steps], by the schedule's name.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        linear, logarithmic = figure.subplots(1, 2)
        widths = _widths(len(rates))
        for i, (name, rate) in enumerate(rates.items()):
            dashes = _DASHES[i // len(COLOURS) % len(_DASHES)]
            style = {"color": colour(i), "linestyle": dashes, "linewidth": widths[i]}
            steps = np.arange(len(rate))
            _line(linear, steps, rate, label=name, **style)
            _line(logarithmic, steps, np.where(rate > 0, rate, np.nan), **style)
        linear.set(xlabel="step")
        linear.set_ylim(bottom=0)
        linear.set_title("Learning rate", loc="left")
        logarithmic.set(xlabel="step")
        _logarithmic_rate(logarithmic, rates.values(), 1e-4)
        logarithmic.set_title("The same, logarithmic", loc="left")
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure
