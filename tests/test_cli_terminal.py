"""Curves in block characters, and the notation of the command line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrdecay.cli.notation import section
from lrdecay.cli.terminal import chart, marks
from lrdecay.study.config import ConfigError

BLOCKS = " ▁▂▃▄▅▆▇█"


def heights(lines):
    """How high each column is, in eighths of a line; every line below the top one must be full."""
    columns = []
    for column in zip(*lines, strict=True):
        eighths = [BLOCKS.index(block) for block in column]
        filled = [x for x in eighths if x > 0]
        assert filled[1:] == [8] * len(filled[1:])
        columns.append(sum(eighths))
    return columns


def test_a_ramp_has_every_height_once():
    assert chart(np.arange(8.0), 8) == ("▁▂▃▄▅▆▇█",)
    assert heights(chart(np.arange(24.0), 24, height=3)) == list(range(1, 25))


@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=30),
    st.integers(1, 40),
    st.integers(1, 5),
)
def test_columns_are_in_the_order_of_the_means_they_show(values, width, height):
    lines = chart(np.array(values, float), width, height)
    assert [len(line) for line in lines] == [width] * height
    # Each value is in the columns that its share of the width falls into.
    at = np.arange(width) * len(values) // width
    ends = np.append(at[1:], len(values))
    means = [np.mean(values[a : max(b, a + 1)]) for a, b in zip(at, ends, strict=True)]
    order = np.argsort(means, kind="stable")
    assert list(np.diff(np.array(heights(lines))[order]) >= 0) == [True] * (width - 1)


def test_what_is_not_finite_leaves_a_gap():
    assert chart(np.array([1.0, np.nan, np.inf, 8.0]), 4) == ("▁  █",)
    assert chart(np.array([np.nan, 3.0, np.inf, 5.0]), 2) == ("▁█",)
    assert chart(np.full(3, np.nan), 5, height=2) == ("     ",) * 2


def test_a_floor_shows_how_far_from_zero_a_rate_is():
    assert chart(np.array([7.0, 8.0]), 2) == ("▁█",)
    assert chart(np.array([7.0, 8.0]), 2, low=0.0) == ("▇█",)
    assert chart(np.full(4, 0.1), 4, low=0.0) == ("████",)
    assert chart(np.zeros(4), 4, low=0.0) == ("▁▁▁▁",)


@given(st.integers(1, 50), st.data())
def test_a_mark_is_under_a_column_of_its_value(n, data):
    width = data.draw(st.integers(1, 60))
    index = data.draw(st.integers(0, n - 1))
    line = marks([index], n, width)
    assert len(line) == width
    column = line.index("▲")
    assert column * n // width <= index <= -(-(column + 1) * n // width) - 1


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("trigger", "plateau", {"name": "plateau"}),
        ("trigger", "plateau:", {"name": "plateau"}),
        (
            "trigger",
            "plateau:patience=10,rtol=1e-3, mode=max",
            {"name": "plateau", "patience": 10, "rtol": 1e-3, "mode": "max"},
        ),
        ("decay", "multiply:0.1", {"name": "multiply", "factor": 0.1}),
        ("decay", "rungs:[0.1, 0.01]", {"name": "rungs", "values": [0.1, 0.01]}),
        (
            "schedule",
            "loss_aware:0.1,when.name=plateau,when.patience=3,how.name=multiply",
            {
                "name": "loss_aware",
                "base": 0.1,
                "when": {"name": "plateau", "patience": 3},
                "how": {"name": "multiply"},
            },
        ),
        (
            "schedule",
            'join:[{name="cosine", init_value=0.1}, 0.01],boundaries=[5]',
            {
                "name": "join",
                "schedules": [{"name": "cosine", "init_value": 0.1}, 0.01],
                "boundaries": [5],
            },
        ),
        ("trigger", 'plateau:monitor="a,b"', {"name": "plateau", "monitor": "a,b"}),
        ("schedule", "my.rates:fast", {"name": "my.rates:fast"}),
        ("schedule", "my.rates:fast:x=1,y=2", {"name": "my.rates:fast", "x": 1, "y": 2}),
        (
            "schedule",
            "optax:constant_schedule:0.5",
            {"name": "optax:constant_schedule", "value": 0.5},
        ),
    ],
)
def test_a_text_stands_for_a_section(kind, text, expected):
    assert section(kind, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("platoo:3", "unknown trigger 'platoo'; did you mean 'plateau'"),
        ("plateau:patience=1 2", "patience must be a TOML value or a bare word, got '1 2'"),
        ("plateau:3,4", "4"),
    ],
)
def test_a_text_that_is_no_section_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        section("trigger", text)
