"""The figures: operating curves on what is known, and first fires on what is not."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.triggers.histories import CHANGES, HORIZON
from experiments.triggers.scoring import ALARM_SHARE, LENGTH, Result
from lrdecay.study.figures import colour

MARKERS = "osv^D<>PX*hd"
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "lrdecay",
}


def save(figure: Figure, path: Path) -> None:
    with matplotlib.rc_context(STYLE):
        figure.savefig(path, metadata={"Date": None})


def operating_curves(results: list[dict]) -> Figure:
    """Mean delay against the share of false alarms, a panel for each change, a line a family."""
    columns = 4
    rows = -(-len(CHANGES) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(15, 3.4 * rows + 0.8), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, (name, scenario) in zip(grid.flat, CHANGES.items(), strict=False):
            for i, result in enumerate(results):
                _draw_family(axes, i, result, name)
            axes.axvline(ALARM_SHARE, color="#777777", linewidth=0.8, linestyle=":")
            axes.set_title(scenario.title, loc="left", fontsize=10)
            axes.set(xscale="log", xlim=(0.009, 1.0), ylim=(0, HORIZON * 1.03))
        for axes in grid.flat[len(CHANGES) :]:
            axes.set_axis_off()
        figure.supxlabel(f"share of progress runs of {LENGTH} observations with a false alarm")
        figure.supylabel(f"mean delay in observations (a miss counts as {HORIZON})")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=7, frameon=False)
    return figure


def _draw_family(axes: Axes, i: int, result: dict, scenario: str) -> None:
    """One line, with a marker and the interval at the calibrated setting."""
    curve = result["curve"]
    delays = np.array([np.nan if x is None else x for x in curve["delay"][scenario]])
    style = {"color": colour(i), "linestyle": "-" if i < 8 else "--"}
    axes.plot(curve["false_alarms"], delays, linewidth=1.2, label=result["family"], **style)
    calibrated: Result | None = result.get("calibrated")
    at = calibrated.delays[scenario] if calibrated else None
    if calibrated is not None and at is not None:
        error = [[at.mean - at.low], [at.high - at.mean]]
        axes.errorbar(
            calibrated.false_alarms["progress"].value,
            at.mean,
            yerr=error,
            marker=MARKERS[i],
            markersize=5,
            **style,
        )


def first_fires(curves: dict[str, np.ndarray], first: dict[str, dict[str, list[int]]]) -> Figure:
    """Recorded curves, and below each the observation at which each family first fires."""
    kinds = {
        "loss": ("training loss, means of 10 steps", "block (families calibrated)"),
        "val_accuracy": ("validation accuracy", "epoch (the library's defaults)"),
    }
    # The colour and the place of a family are the same everywhere.
    names = list(first["loss"])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(17, 4 + 0.36 * len(names)), layout="constrained")
        grid = figure.subplots(
            4, len(curves["rate"]), sharey="row", height_ratios=[2, 1.6] * 2, squeeze=False
        )
        for j, rate in enumerate(curves["rate"]):
            for row, (kind, (above_label, below_label)) in enumerate(kinds.items()):
                above, below = grid[2 * row : 2 * row + 2, j]
                below.sharex(above)
                values = curves[kind][j]
                above.plot(np.arange(values.size), values, color="#555555", linewidth=0.8)
                above.set_title(f"rate {rate:g}", loc="left", fontsize=10)
                if kind == "loss":
                    above.set(yscale="log", ylim=(1e-5, 3))
                for i, name in enumerate(names):
                    at = first[kind].get(name, [values.size] * (j + 1))[j]
                    if at < values.size:
                        below.plot(at, i, MARKERS[i], color=colour(i), markersize=5)
                below.set(yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5))
                if j == 0:
                    above.set_ylabel(above_label)
                    below.set_yticklabels(names, fontsize=8)
                below.set_xlabel(below_label)
    return figure
