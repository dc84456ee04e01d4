"""The report: read back as a page and as a terminal shows it."""

import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from lrdecay.figures import colour, svg
from lrdecay.study.figures import curves
from lrdecay.study.history import History
from lrdecay.study.report import COLUMNS, page, reading, table
from lrdecay.study.statistics import ArmSummary, Interval, summarise

NAMES = ("constant", "step", "plateau")


class Page(HTMLParser):
    """What is in a page: its text, its tags, and whether every tag is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "td" in self.open:
            self.rows[-1][-1] += data


def record(seeds: int = 4, per_epoch: int = 10, epochs: int = 4) -> History:
    """Three arms that differ by a percentage point each, the last with cuts."""
    rng = np.random.default_rng(0)
    steps = per_epoch * epochs
    shape = (len(NAMES), seeds)
    rate = np.full((*shape, steps), 0.1)
    fires = np.zeros((*shape, steps), np.int32)
    fires[2] = np.arange(steps) >= steps // 2
    loss = np.exp(-np.arange(steps) / steps) + rng.normal(0, 0.02, (*shape, steps))
    accuracy = 0.9 + 0.01 * np.arange(len(NAMES))[:, None] + rng.normal(0, 1e-3, shape)
    return History(
        loss=loss,
        grad_norm=loss,
        learning_rate=rate * 0.1**fires,
        fires=fires,
        val_loss=np.ones((*shape, epochs)),
        val_accuracy=np.repeat(accuracy[..., None], epochs, axis=-1),
        train_loss=loss[..., -1],
        train_accuracy=accuracy + 0.02,
        test_loss=1.1 * loss[..., -1],
        test_accuracy=accuracy,
    )


def summaries_of(history: History, names: Sequence[str] = NAMES) -> list[ArmSummary]:
    return summarise(history, names, 0.905, 10)


def page_of(history: History, names: Sequence[str] = NAMES, **config: Any) -> str:
    return page(
        {"name": "study", "target_accuracy": 0.905, **config},
        "3 arms.",
        summaries_of(history, names),
        svg(curves(history, names, 10, 0.905)),
        {"jax": "1.2.3", "device": "cpu"},
    )


def shown(summaries: Sequence[ArmSummary], width: int) -> str:
    """The table as a file of that width gets it: without colours and bold."""
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(table(summaries))
    return capture.get()


def interval(mean: float, half: float) -> Interval:
    return Interval(mean, mean - half, mean + half)


def summary(name: str, accuracy: float, difference: Interval | None, **given: Any) -> ArmSummary:
    values: dict[str, Any] = {
        "seeds": 10,
        "retired": None,
        "diverged": 0,
        "val_accuracy": interval(accuracy + 0.01, 0.002),
        "test_accuracy": interval(accuracy, 0.003),
        "final_loss": interval(0.05, 0.01),
        "gap": interval(0.02, 0.01),
        "oscillation": interval(0.04, 0.01),
        "reached": 10,
        "steps_to_target": 190.0,
        "cuts": 0.0,
        "cut_steps": (),
    }
    return ArmSummary(name=name, difference=difference, **{**values, **given})


FIRST = summary("constant", 0.96, None)
BETTER = summary(
    *("step", 0.971, interval(0.011, 0.004)), cuts=1.5, cut_steps=(190.0, 380.0), reached=9
)
UNCLEAR = summary("cosine", 0.962, interval(0.002, 0.003), steps_to_target=None, reached=4)
WORSE = summary("slow", 0.9, interval(-0.06, 0.003))


def test_page_stands_alone():
    text = page_of(record())
    for tag, attributes in Page(text).tags:
        assert tag not in ("script", "link", "iframe", "img", "object", "base")
        for name, value in attributes.items():
            assert not name.startswith("on")
            # Names of XML dialects are no addresses that a browser goes to.
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                assert (value or "").startswith("#")
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_page_holds_every_part():
    read = Page(page_of(record(), epochs=4))
    for part in ("study", "3 arms.", "jax 1.2.3", "device cpu", '"epochs": 4'):
        assert part in read.text
    for heading, said in COLUMNS[1:]:
        assert heading in read.text
        assert said in read.text
    assert [tag for tag, _ in read.tags].count("svg") == 1


def test_page_rows_are_the_numbers():
    def near(mean: float, half: float, sign: str = "") -> str:
        return f"{mean:{sign}.2f} [{mean - half:{sign}.2f}, {mean + half:{sign}.2f}]"

    arms = [FIRST, BETTER, UNCLEAR]
    read = Page(page({"name": "s", "target_accuracy": 0.9}, "", arms, "<svg></svg>", {}))
    assert [row for row in read.rows if row] == [
        ["constant", near(96, 0.3), "reference", "0.05", "+2.00", "0.04", "190 (10/10)", "0"],
        [
            *("step", near(97.1, 0.3), near(1.1, 0.4, "+"), "0.05", "+2.00", "0.04"),
            *("190 (9/10)", "1.5 at 190, 380"),
        ],
        ["cosine", near(96.2, 0.3), near(0.2, 0.3, "+"), "0.05", "+2.00", "0.04", "(4/10)", "0"],
    ]


def test_page_sets_bold_what_excludes_zero_and_nothing_else():
    arms = [FIRST, BETTER, UNCLEAR, WORSE]
    text = page({"name": "s", "target_accuracy": 0.9}, "", arms, "", {})
    assert re.findall(r"<b>(.*?)</b>", text) == ["+1.10 [+0.70, +1.50]", "-6.00 [-6.30, -5.70]"]


@pytest.mark.parametrize(
    "name", ['<b>&"x', "</svg><script>x</script>", "--><i>", "[bold]a[/]", "_a"]
)
def test_hostile_names_are_text(name: str):
    names = (name, *NAMES[1:])
    read = Page(page_of(record(), names, name=name, data={"name": name}))
    assert read.rows[1][0] == name
    assert {tag for tag, _ in read.tags}.isdisjoint(("script", "i"))
    assert read.text.count(name) >= 4  # title, heading, table, reading or figure
    first = next(iter(table(summaries_of(record(), names)).columns[0].cells))
    assert isinstance(first, Text)  # no markup, whatever the name
    assert "".join(first.plain.split()) == name


@pytest.mark.parametrize(
    "shape", [{"seeds": 1}, {"epochs": 1}, {"seeds": 1, "per_epoch": 1, "epochs": 1}]
)
def test_small_studies(shape: dict[str, int]):
    history = record(**shape)
    read = Page(page_of(history))
    assert len([row for row in read.rows if row]) == 3
    assert "nan" not in " ".join(cell for row in read.rows for cell in row)
    assert "nan" not in shown(summaries_of(history), 120)
    plural = "1 seed" if shape.get("seeds") == 1 else "4 seeds"
    assert f"over {plural}." in read.text
    assert f"{plural};" in shown(summaries_of(history), 120)


@pytest.mark.parametrize("seeds", [slice(0, 1), slice(None)])
def test_diverged_seeds_are_said_everywhere(seeds: slice):
    history = record()
    history.loss[1, seeds, 15:] = np.nan
    history.train_loss[1, seeds] = np.nan
    read = Page(page_of(history))
    count = len(range(4)[seeds])
    assert read.rows[2][0] == f"step ({count} of 4 diverged)"
    assert f"{count} of 4 seeds of step diverged." in read.text
    assert f"({count} of 4" in shown(summaries_of(history), 120)
    assert (read.rows[2][3] == "n/a") == (count == 4)


@pytest.mark.parametrize("epochs", [1, 3])
def test_an_arm_that_was_retired_is_said_so_and_compared_with_none(epochs: int):
    history = record()
    end = history.val_accuracy[2, :, 0].mean()
    for name, array in vars(history).items():
        if name.startswith(("train_", "test_")):
            array[2] = np.nan
        else:
            rest = slice(epochs if name.startswith("val_") else 10 * epochs, None)
            array[2, :, rest] = -1 if name == "fires" else np.nan
    read = Page(page_of(history))
    words = "1 epoch" if epochs == 1 else "3 epochs"
    name, accuracy, *others, cuts = read.rows[3]
    assert name == f"plateau, retired after {words}"
    assert accuracy.startswith(f"({100 * end:.2f} [")
    assert others == [""] * 5
    assert cuts == ("0" if epochs == 1 else "1.0 at 20")
    assert f"Successive halving retired plateau after {words}." in read.text
    assert "step has the highest mean test accuracy" in read.text
    assert "plateau diverged" not in read.text
    assert "of plateau" not in read.text
    assert "cross: retired" in read.text
    assert "nan" not in " ".join(cell for row in read.rows for cell in row)
    text = shown(summaries_of(history), 120)
    assert f"({100 * end:.2f} ± " in text
    assert "validation accuracy when the arm was retired" in " ".join(text.split())
    assert "retired" not in shown(summaries_of(record()), 120)


def test_rates_of_zero_are_drawn_around():
    history = record()
    history.learning_rate[0] = 0
    history.learning_rate[1, :, 20:] = 0
    Page(page_of(history))
    history.learning_rate[:] = 0
    Page(page_of(history))


def test_page_of_a_large_study_is_small():
    text = page_of(record(seeds=10, per_epoch=100, epochs=50))
    assert len(text.encode()) < 1.5e6


def test_reading_says_what_the_intervals_do():
    said = reading([FIRST, BETTER, UNCLEAR, WORSE], 0.95)
    assert said.startswith("step has the highest mean test accuracy, 97.10 %, over 10 seeds.")
    assert "interval says higher than constant for step." in said
    assert "interval says lower than constant for slow." in said
    assert "For cosine, the interval holds zero" in said
    assert "Not every seed of step and cosine reached 95 % validation accuracy." in said
    assert "diverged" not in said


def test_reading_of_a_tie_of_one_arm_and_of_one_seed():
    tie = reading([FIRST, summary("step", 0.96, interval(0, 0))], 0.9)
    assert tie.startswith("constant and step have the highest mean test accuracy, 96.00 %")
    assert reading([FIRST], 0.9) == "constant has a mean test accuracy, 96.00 %, over 10 seeds."
    nan = Interval(0.01, float("nan"), float("nan"))
    one = [summary(n, 0.9, d, seeds=1, reached=1) for n, d in (("a", None), ("b", nan))]
    assert "interval" not in reading(one, 0.9)


def test_reading_names_the_calmest_arm():
    calm = summary("step", 0.97, interval(0.01, 0.001), oscillation=interval(0.01, 0.001))
    lost = summary("x", 0.9, interval(0, 1), diverged=10, oscillation=Interval(*[float("nan")] * 3))
    assert "the loss of step oscillates the least, 4.0 times less than that of constant" in reading(
        [FIRST, lost, calm], 0.9
    )


def test_table_fits_120_columns_one_line_an_arm():
    arms = [FIRST, BETTER, UNCLEAR, WORSE]
    lines = [line.split() for line in shown(arms, 120).splitlines() if line.strip()]
    assert [line[0] for line in lines[2:6]] == ["constant", "step", "cosine", "slow"]
    assert " ".join(lines[3]) == (
        "step 97.10 ± 0.30 +1.10 ± 0.40* 0.05 +2.00 0.04 190 (9/10) 1.5 at 190, 380"
    )
    assert "*" not in " ".join(lines[4])
    assert "-6.00 ± 0.30*" in " ".join(lines[5])


def test_table_wraps_a_long_name():
    text = shown([summary("n" * 40, 0.96, None, diverged=2), BETTER], 120)
    assert max(map(len, text.splitlines())) <= 120
    first = [line.split()[0] for line in text.splitlines()[3:7]]
    assert first == ["n" * 16, "n" * 16, "n" * 8, "10"]  # and "(2 of" behind the third
    assert "1.5 at 190, 380" in text


def test_table_of_80_columns_loses_nothing():
    arms = [FIRST, BETTER, UNCLEAR, WORSE, summary("exponential", 0.97, interval(0.01, 0.001))]
    text = shown(arms, 80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    wide = shown(arms, 120)
    assert sorted(re.findall(r"[\d.]{3,}", text)) == sorted(re.findall(r"[\d.]{3,}", wide))


def test_table_sets_bold_what_excludes_zero():
    bold = [
        cell.plain
        for cell in table([FIRST, BETTER, UNCLEAR, WORSE]).columns[2].cells
        if isinstance(cell, Text) and cell.style == "bold"
    ]
    assert bold == ["+1.10 ± 0.40*", "-6.00 ± 0.30*"]


def test_no_arm_has_the_colour_of_the_reference():
    assert colour(0) not in {colour(arm) for arm in range(1, 40)}
    assert len({colour(arm) for arm in range(8)}) == 8
