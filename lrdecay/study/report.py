"""A study's results for people: a table for the terminal and a page that holds everything."""

import html
import json
import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from lrdecay.figures import colour
from lrdecay.study.statistics import ArmSummary, Interval
from lrdecay.study.words import count


class Cell(NamedTuple):
    """One cell of the table: its text, and whether it stands out."""

    text: str
    strong: bool = False


COLUMNS = (
    ("arm", "The schedule of the learning rate."),
    (
        "test accuracy, %",
        "Share of right answers on the test set after the last step: mean over the seeds and its "
        "95 % Student-t interval. An arm that was retired has not got there: in brackets, its "
        "validation accuracy when it was.",
    ),
    (
        "against the first, points",
        "Test accuracy minus that of the first arm with the same seed, in percentage points, and "
        "its 95 % interval. Bold where the interval excludes zero; not corrected for the number of "
        "arms.",
    ),
    (
        "final loss",
        "Mean cross-entropy over the training set after the last step. Seeds that diverged, with a "
        "loss that is not finite then or in the last fifth of the steps, are left out of this "
        "column and of the oscillation.",
    ),
    ("gap, points", "Training accuracy minus test accuracy after the last step."),
    (
        "oscillation",
        "Root of half the mean square change of the loss from one mini-batch to the next, over the "
        "last fifth of the steps.",
    ),
    (
        "steps to target",
        "Median training steps until the validation accuracy first reaches the target, and how "
        "many seeds did.",
    ),
    (
        "cuts",
        "Mean number of cuts of the rate in a run, and the median step at which each took effect.",
    ),
)


def _interval(x: Interval, sign: str = "") -> str:
    mean = f"{100 * x.mean:{sign}.2f}"
    if math.isnan(x.low):
        return mean
    return f"{mean} [{100 * x.low:{sign}.2f}, {100 * x.high:{sign}.2f}]"


def _number(x: float) -> str:
    return "n/a" if math.isnan(x) else f"{x:.3g}"


def cells(s: ArmSummary) -> list[Cell]:
    """The cells of an arm's row, one for each of `COLUMNS`."""
    diverged = f" ({s.diverged} of {s.seeds} diverged)" if s.diverged else ""
    where = ", ".join(f"{step:.0f}" for step in s.cut_steps[:4])
    more = ", …" if len(s.cut_steps) > 4 else ""
    cuts = Cell(f"{s.cuts:.1f} at {where}{more}" if s.cut_steps else "0")
    if s.retired is not None:
        name = Cell(f"{s.name}{diverged}, retired after {count(s.retired, 'epoch')}")
        return [name, Cell(f"({_interval(s.val_accuracy)})"), *[Cell("")] * 5, cuts]
    difference = Cell("reference")
    if s.difference is not None:
        difference = Cell(_interval(s.difference, "+"), s.difference.excludes_zero)
    needed = "" if s.steps_to_target is None else f"{s.steps_to_target:.0f} "
    return [
        Cell(s.name + diverged),
        Cell(_interval(s.test_accuracy)),
        difference,
        Cell(_number(s.final_loss.mean)),
        Cell(f"{100 * s.gap.mean:+.2f}"),
        Cell(_number(s.oscillation.mean)),
        Cell(f"{needed}({s.reached}/{s.seeds})"),
        cuts,
    ]


# Headings for the terminal, where room is short, by place in `COLUMNS`.
_SHORT = ("arm", "test %", "vs first", "loss", "gap", "oscillation", "to target", "cuts at steps")


def _plus_minus(x: Interval, sign: str = "") -> str:
    half = "" if math.isnan(x.high) else f" ± {100 * (x.high - x.mean):.2f}"
    return f"{100 * x.mean:{sign}.2f}{half}"


def _short_cells(s: ArmSummary) -> list[Cell]:
    row = cells(s)
    row[0] = Cell("\n".join(textwrap.wrap(row[0].text, 16)))
    if s.retired is not None:
        row[1] = Cell(f"({_plus_minus(s.val_accuracy)})")
        return row
    row[1] = Cell(_plus_minus(s.test_accuracy))
    row[2] = Cell("ref.")
    if s.difference is not None:
        # The star is for files and pipes, where bold is lost.
        star = "*" if s.difference.excludes_zero else ""
        row[2] = Cell(_plus_minus(s.difference, "+") + star, s.difference.excludes_zero)
    return row


def table(summaries: Sequence[ArmSummary]) -> Table:
    """The table for the terminal; accuracies in percent, differences in percentage points."""
    caption = (
        f"{count(summaries[0].seeds, 'seed')}; mean ± half of the 95 % interval; "
        "*: the interval of the difference excludes zero"
    )
    if any(s.retired is not None for s in summaries):
        caption += "; in brackets: validation accuracy when the arm was retired"
    grid = Table(box=box.SIMPLE_HEAD, caption=caption, padding=(0, 1, 0, 0), caption_justify="left")
    for i, heading in enumerate(_SHORT):
        several_words = i in (1, 2, 6, 7)
        justify = "left" if i in (0, 7) else "right"
        grid.add_column(heading, justify=justify, no_wrap=not several_words)
    for s in summaries:
        row = _short_cells(s)
        grid.add_row(*(Text(c.text, style="bold" if c.strong else "") for c in row))
    return grid


def reading(summaries: Sequence[ArmSummary], target_accuracy: float) -> str:
    """What the numbers say, in a few sentences."""
    finished = [s for s in summaries if s.retired is None]
    first, others = finished[0], finished[1:]
    top = max(s.test_accuracy.mean for s in finished)
    best = [s.name for s in finished if s.test_accuracy.mean == top]
    highest = f"{'has' if len(best) == 1 else 'have'} the highest mean" if others else "has a mean"
    over = count(first.seeds, "seed")
    said = [f"{_and(best)} {highest} test accuracy, {100 * top:.2f} %, over {over}."]
    better = [s.name for s in others if s.difference and s.difference.low > 0]
    worse = [s.name for s in others if s.difference and s.difference.high < 0]
    if others and first.seeds > 1:
        for names, word in ((better, "higher"), (worse, "lower")):
            if names:
                said.append(
                    f"Paired by seed, the 95 % interval says {word} than {first.name} for "
                    f"{_and(names)}."
                )
        open_question = [s.name for s in others if s.name not in (*better, *worse)]
        if open_question:
            said.append(
                f"For {_and(open_question)}, the interval holds zero: these seeds do not tell the "
                f"difference from {first.name}."
            )
        calm = min(others, key=lambda s: _last(s.oscillation.mean))
        if 0 < calm.oscillation.mean < first.oscillation.mean:
            said.append(
                f"Late in training, the loss of {calm.name} oscillates the least, "
                f"{_times(first.oscillation.mean / calm.oscillation.mean)} times less than that of "
                f"{first.name}."
            )
    for epochs in sorted({s.retired for s in summaries if s.retired is not None}):
        names = [s.name for s in summaries if s.retired == epochs]
        said.append(f"Successive halving retired {_and(names)} after {count(epochs, 'epoch')}.")
    said += [
        f"{s.diverged} of {count(s.seeds, 'seed')} of {s.name} diverged."
        for s in summaries
        if s.diverged
    ]
    missed = [s.name for s in finished if s.reached < s.seeds]
    if missed:
        said.append(
            f"Not every seed of {_and(missed)} reached {100 * target_accuracy:g} % validation "
            "accuracy."
        )
    return " ".join(said)


def _last(x: float) -> float:
    """NaN sorts behind every number."""
    return math.inf if math.isnan(x) else x


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_CSS = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 72rem; margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.facts { color: #555; margin: 0 0 1.2rem; } .reading { max-width: 48rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .35rem .9rem .35rem 0; text-align: right; white-space: nowrap; }
th { border-bottom: 1.5px solid #1a1a1a; border-top: 1.5px solid #1a1a1a; font-weight: 600;
  white-space: normal; vertical-align: bottom; }
tbody tr:last-child td { border-bottom: 1.5px solid #1a1a1a; }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .5em; }
svg { width: 100%; min-width: 52rem; height: auto; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem 0; }
dl { font-size: .9rem; max-width: 56rem; } pre { background: #f6f6f6; padding: 1rem;
  overflow-x: auto; font-size: .8rem; } summary { cursor: pointer; }
"""


def page(
    config: dict[str, Any],
    facts: str,
    summaries: Sequence[ArmSummary],
    figure: str,
    versions: dict[str, str],
) -> str:
    """The report as one self-contained HTML page.

    Args:
      config: the resolved configuration.
      facts: a line on what was run and how long it took.
      summaries: one an arm.
      figure: the curves as an SVG element.
      versions: of the packages, and the device.
    """
    text = html.escape

    def row(i: int, summary: ArmSummary) -> str:
        key = f'<span class="key" style="background:{colour(i)}"></span>'
        inner = [f"<b>{text(c.text)}</b>" if c.strong else text(c.text) for c in cells(summary)]
        return "<tr>" + "".join(f"<td>{key if j == 0 else ''}{c}</td>" for j, c in enumerate(inner))

    heads = "".join(f"<th>{text(heading)}</th>" for heading, _ in COLUMNS)
    rows = "\n".join(row(i, s) + "</tr>" for i, s in enumerate(summaries))
    terms = "\n".join(f"<dt>{text(h)}</dt><dd>{text(said)}</dd>" for h, said in COLUMNS[1:])
    software = ", ".join(f"{k} {v}" for k, v in versions.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(config["name"])} · lrdecay</title>
<style>{_CSS}</style>
</head>
<body>
<h1>{text(config["name"])}</h1>
<p class="facts">{text(facts)}</p>
<p class="reading">{text(reading(summaries, config["target_accuracy"]))}</p>
<div class="wide"><table>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
<h2>Curves</h2>
<p class="reading">Lines are means over the seeds, the shading their middle half. Each arm trained
the same initial weights on the same batches, seed by seed.</p>
<div class="wide">{figure}</div>
<h2>What the columns mean</h2>
<dl>
{terms}
</dl>
<p class="reading">Intervals are over seeds: initial weights and the order of the batches. The
split of the data is the same throughout, so that they leave out the chance in the choice of the
test images.</p>
<details><summary>Configuration, every default filled in</summary>
<pre>{text(json.dumps(config, indent=2, allow_nan=False))}</pre></details>
<p class="facts">{text(software)}</p>
</body>
</html>
"""
