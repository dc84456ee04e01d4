"""The figure of a study: loss, validation accuracy, and the learning rate with its cuts."""

from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lrdecay.figures import STYLE, colour
from lrdecay.study.history import History
from lrdecay.study.statistics import cuts

_POINTS = 600


def _thin(n: int) -> np.ndarray:
    """Indices of at most `_POINTS` of n points, both ends included."""
    return np.unique(np.linspace(0, n - 1, min(n, _POINTS)).round().astype(int))


def _running_mean(x: np.ndarray, window: int) -> np.ndarray:
    """Means of the last `window` values, of fewer at the start; x is f[..., steps]."""
    total = np.cumsum(x, axis=-1, dtype=np.float64)
    total[..., window:] -= total[..., :-window].copy()
    return total / np.minimum(np.arange(1, x.shape[-1] + 1), window)


def _band(axes: Axes, x: np.ndarray, runs: np.ndarray, arm: int) -> None:
    """The mean over seeds, and the middle half of the seeds behind it; runs is f[seeds, points]."""
    axes.plot(x, runs.mean(axis=0), color=colour(arm), linewidth=1.6)
    low, high = np.quantile(runs, (0.25, 0.75), axis=0)
    axes.fill_between(x, low, high, color=colour(arm), alpha=0.12, linewidth=0)


def _draw_loss(axes: Axes, loss: np.ndarray, ends: Sequence[int]) -> None:
    steps = loss.shape[-1]
    window = max(steps // 50, 1)
    # Below 1e-8 there is nothing to see, and 0 has no place on a logarithmic axis.
    smooth = np.maximum(_running_mean(loss, window), 1e-8)
    for arm, (runs, end) in enumerate(zip(smooth, ends, strict=True)):
        own = runs[:, :end]
        at = _thin(own.shape[-1])
        _band(axes, at + 1, own[:, at], arm)
    axes.set(yscale="log", xlabel="step", ylabel="cross-entropy (nats)")
    axes.set_title(f"Training loss, mean of the last {window} steps", loc="left")


def _draw_accuracy(
    axes: Axes, accuracy: np.ndarray, steps_per_epoch: int, target: float, epochs: Sequence[int]
) -> None:
    at = (np.arange(accuracy.shape[-1]) + 1) * steps_per_epoch
    for arm, (runs, end) in enumerate(zip(accuracy, epochs, strict=True)):
        _band(axes, at[:end], runs[:, :end], arm)
        if end < len(at):
            axes.plot(at[end - 1], runs[:, end - 1].mean(), "x", color=colour(arm))
    axes.axhline(target, color="#777777", linewidth=0.8, linestyle=":")
    # The late differences are what one looks for: the climb from chance may leave the picture.
    late = accuracy[..., accuracy.shape[-1] // 2 :].mean(axis=1)
    top = max(np.nanmax(accuracy), target)
    bottom = min(np.nanmin(late), target)
    margin = max(0.15 * (top - bottom), 0.002)
    axes.set(xlabel="step", ylim=(max(bottom - margin, 0), min(top + margin, 1)))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    retired = ", cross: retired" if min(epochs) < len(at) else ""
    axes.set_title(f"Validation accuracy (dotted: target{retired})", loc="left")


def _draw_rate(axes: Axes, name: str, arm: int, rates: np.ndarray, fires: np.ndarray) -> None:
    at = _thin(rates.shape[-1])
    positive = np.where(rates > 0, rates, np.nan)
    same = bool((rates == rates[0]).all())
    for rate, fired in zip(positive[:1] if same else positive, fires, strict=False):
        axes.plot(at, rate[at], color=colour(arm), linewidth=1.6 if same else 0.8, alpha=0.9)
        cut = cuts(np.nan_to_num(rate), fired)
        axes.plot(cut, rate[cut], "v", color=colour(arm), markersize=5, alpha=0.8)
    axes.set(xlabel="step")
    axes.set_title(name, loc="left", color=colour(arm))


def curves(
    history: History, arms: Sequence[str], steps_per_epoch: int, target_accuracy: float
) -> Figure:
    """The figure of a study.

    Above, the training loss and the validation accuracy: means over the seeds, with the middle half
    of the seeds shaded. Below, each arm's learning rate, a line a seed where seeds differ, with a
    triangle at the first step of every cut rate. The curves of an arm that was retired end there.
    """
    epochs = history.epochs.tolist()
    ends = [n * steps_per_epoch for n in epochs]
    columns = min(len(arms), 5)
    rows = -(-len(arms) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.6 + 2.2 * rows), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=[4.2, 2.2 * rows], squeeze=False)[:, 0]
        left, right = above.subplots(1, 2)
        _draw_loss(left, history.loss, ends)
        _draw_accuracy(right, history.val_accuracy, steps_per_epoch, target_accuracy, epochs)
        handles = [left.plot([], [], color=colour(i), linewidth=3)[0] for i in range(len(arms))]
        above.legend(handles, arms, loc="outside upper center", ncols=len(arms), frameon=False)
        grid = below.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        below.suptitle("Learning rate (triangle: a cut)", x=0.01, ha="left", fontsize=12)
        # A rate that goes to 0 would else take the picture down with it.
        peak = float(np.nanmax(history.learning_rate))
        lowest = float(history.learning_rate.min(initial=peak, where=history.learning_rate > 0))
        if peak > 0:
            grid[0, 0].set(yscale="log", ylim=(max(lowest, 1e-4 * peak) / 1.6, peak * 1.6))
        for axes, cell in zip(grid.flat, _arms(history, arms, ends, grid.size), strict=True):
            if cell is None:
                axes.set_axis_off()
            else:
                _draw_rate(axes, *cell)
    return figure


def _arms(
    history: History, arms: Sequence[str], ends: Sequence[int], cells: int
) -> Iterator[tuple | None]:
    """What each cell of the grid of rates shows; None for those left over."""
    for i in range(cells):
        if i < len(arms):
            own = slice(ends[i])
            yield arms[i], i, history.learning_rate[i, :, own], history.fires[i, :, own]
        else:
            yield None
