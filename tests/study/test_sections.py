"""From sections to objects: durations against plain arithmetic, and every mistake in words."""

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrdecay import step
from lrdecay.arguments import PositiveSteps, Steps
from lrdecay.registry import FACTORIES
from lrdecay.schedules import Boundaries
from lrdecay.study.sections import RunLength, arguments, build, with_defaults

RUN = RunLength(steps_per_epoch=100, epochs=5)
HERE = __name__

LENGTHS = st.builds(RunLength, st.integers(1, 1000), st.integers(1, 1000))
AMOUNTS = st.integers(0, 1000) | st.floats(0, 1000)


def warm(warmup_steps: Steps, steps: Steps, boundaries: Boundaries):
    """A factory with durations of every form."""


def lazily(decay_steps: PositiveSteps = 10):
    """A factory with a duration that may be left out."""
    return step(0.1, decay_steps)


def plain(flag: bool, count: int, rate: float, word: Literal["a", "b"], sizes: tuple[int, ...]):
    """A factory of a user's, with the annotations of Python."""


def quoted(count: "int", size: "Steps"):
    """A factory under `from __future__ import annotations`."""


def bare(classes, sizes=(1, 2), *more, depth, **rest):
    """A factory without annotations."""


def unresolved(count):
    """A factory whose annotation names nothing that is there when it is read."""


unresolved.__annotations__ = {"count": "Missing"}


def broken(text="two\nlines"):
    raise ValueError(text)


def found_in(make, section, run=RUN, where="arms.a", given=()):
    problems = []
    found = arguments(make, section, where, problems, run, given)
    return found, problems


def problems_in(kind, section):
    problems = []
    assert build(kind, section, "here", problems, RUN) is None
    assert not any("\n" in problem for problem in problems)
    return problems


@given(LENGTHS, AMOUNTS, AMOUNTS, st.lists(AMOUNTS, max_size=3))
def test_durations_in_epochs_and_fractions_are_steps(run, epochs, share, epochs_each):
    section = {
        "warmup_epochs": epochs,
        "fraction": share,
        "boundaries_epochs": epochs_each,
    }
    found, problems = found_in(warm, section, run)
    per_epoch = run.steps_per_epoch
    assert problems == []
    assert found == {
        "warmup_steps": round(epochs * per_epoch),
        "steps": round(share * per_epoch * run.epochs),
        "boundaries": [round(x * per_epoch) for x in epochs_each],
    }
    in_steps = {"warmup_steps": 7, "epochs": 2, "boundaries_fraction": [0.5, 1]}
    assert found_in(warm, in_steps, run) == (
        {
            "warmup_steps": 7,
            "steps": 2 * per_epoch,
            "boundaries": [round(per_epoch * run.epochs / 2), per_epoch * run.epochs],
        },
        [],
    )


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"decay_epochs": -1}, "decay_epochs must be a number of at least 0, got -1"),
        ({"decay_epochs": math.inf}, "decay_epochs must be a number of at least 0, got inf"),
        ({"decay_epochs": True}, "decay_epochs must be a number of at least 0, got True"),
        ({"decay_epochs": "1"}, "decay_epochs must be a number of at least 0, got '1'"),
        ({"decay_steps": 2.0}, "decay_steps must be an integer of at least 1, got 2.0"),
        (
            {"decay_fraction": 1e-4},
            "decay_fraction in steps must be an integer of at least 1, got 0",
        ),
        (
            {"decay_epochs": 1, "decay_fraction": 1},
            "decay_fraction: only one of decay_steps, decay_epochs, decay_fraction may be given",
        ),
    ],
)
def test_bad_durations_are_told_in_the_unit_given(section, problem):
    assert found_in(lazily, section)[1] == [f"arms.a.{problem}"]


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (1e9, " in steps must be an integer of at least 1, got 2147483648, which int32 does not"),
        (1e308, " must be a number of at least 0, got 1e+308, which float32 does not hold"),
    ],
)
def test_a_duration_beyond_the_clock_is_refused(amount, words):
    (problem,) = found_in(lazily, {"decay_epochs": amount})[1]
    assert problem.startswith(f"arms.a.decay_epochs{words}")


def test_without_a_run_durations_are_in_steps_alone():
    assert found_in(lazily, {"decay_steps": 3}, run=None) == ({"decay_steps": 3}, [])
    (problem,) = found_in(lazily, {"decay_epochs": 3}, run=None)[1]
    assert "decay_epochs: unknown key; did you mean 'decay_steps'?" in problem


def test_what_is_missing_is_named_by_all_its_keys():
    assert found_in(warm, {"steps": 1})[1] == [
        "arms.a.warmup_steps or warmup_epochs or warmup_fraction is missing",
        "arms.a.boundaries or boundaries_epochs or boundaries_fraction is missing",
    ]


def test_plain_annotations_are_strict_and_a_list_does_for_a_tuple():
    good = {"flag": True, "count": 2, "rate": 1, "word": "b", "sizes": [1, 2]}
    found, problems = found_in(plain, good)
    assert problems == []
    assert found == good | {"sizes": (1, 2)}
    bad = {"flag": 1, "count": 2.5, "rate": "1", "word": "c", "sizes": [1, True]}
    assert found_in(plain, bad)[1] == [
        "arms.a.flag must be true or false, got 1",
        "arms.a.count must be a valid integer, got 2.5",
        "arms.a.rate must be a valid number, got '1'",
        "arms.a.word must be 'a' or 'b', got 'c'",
        "arms.a.sizes[1] must be a valid integer, got True",
    ]
    more = {"flag": "true", "count": True, "rate": math.nan, "word": 1, "sizes": 3}
    assert found_in(plain, more)[1] == [
        "arms.a.flag must be true or false, got 'true'",
        "arms.a.count must be a valid integer, got True",
        "arms.a.rate must be a finite number, got nan",
        "arms.a.word must be 'a' or 'b', got 1",
        "arms.a.sizes must be a list, got 3",
    ]


def test_annotations_in_quotes_count():
    assert found_in(quoted, {"count": 1, "epochs": 2})[1] == [
        "arms.a.epochs: unknown key; did you mean 'size_epochs'? allowed: count, size, "
        "size_epochs, size_fraction",
        "arms.a.size or size_epochs or size_fraction is missing",
    ]
    assert found_in(quoted, {"count": "1", "size_epochs": 2}) == (
        {"count": None, "size": 200},
        ["arms.a.count must be a valid integer, got '1'"],
    )


def test_parameters_without_annotation_take_anything():
    section = {"sizes": [1, "a"], "depth": {"x": 1}}
    assert found_in(bare, section, given=("classes",)) == (section, [])


def test_what_the_study_gives_and_catch_alls_are_no_keys():
    section = {"classes": 3, "rest": 1, "depth": 1, "more": 2}
    allowed = "unknown key; allowed: sizes, depth"
    assert found_in(bare, section, given=("classes",))[1] == [
        f"arms.a.{key}: {allowed}" for key in ("classes", "rest", "more")
    ]


def test_sections_inside_of_sections_and_lists():
    section = {
        "name": "join",
        "schedules": [
            0.5,
            {"name": "warmup", "schedule": {"name": "constant", "value": 1}, "warmup_epochs": 1},
        ],
        "boundaries_fraction": [0.2],
    }
    problems = []
    schedule = build("schedule", section, "arms.a", problems, RUN)
    assert problems == []
    # 0.5 for a fifth of 500 steps, then a climb from 0 to 1 in 100 steps.
    at = {0: 0.5, 99: 0.5, 100: 0, 150: 0.5, 200: 1, 10_000: 1}
    assert {step: float(schedule(step)) for step in at} == pytest.approx(at)


NAMES, TRIGGERS, DECAYS = (
    f"names: {', '.join(FACTORIES[kind])}" for kind in ("schedule", "trigger", "decay")
)
PLATEAU = {"name": "plateau"}
MULTIPLY = {"name": "multiply"}


@pytest.mark.parametrize(
    ("section", "problems"),
    [
        (3, [f"here must be a section {{name = ..., <arguments>}}, got 3; {NAMES}"]),
        ({}, [f"here must be a section {{name = ..., <arguments>}}, got {{}}; {NAMES}"]),
        (
            {"name": "cosin", "x": 1},
            [
                "here.name: unknown schedule 'cosin'; did you mean 'cosine'? "
                + NAMES.replace("names", "allowed")
            ],
        ),
        (
            {"name": "step", "init_valu": 1, "decay_steps": 5, "factor": 1.5},
            [
                "here.init_valu: unknown key; did you mean 'init_value'? allowed: name, "
                "init_value, decay_steps, decay_epochs, decay_fraction, factor",
                "here.factor must be a number in (0, 1], got 1.5",
                "here.init_value is missing",
            ],
        ),
        (
            {"name": "loss_aware", "base": "cosine", "when": "plateau", "how": 1},
            [
                "here.base must be a number of at least 0, or a section "
                "{name = ..., <arguments>}, got 'cosine'",
                "here.when must be a section {name = ..., <arguments>}, got 'plateau'; "
                f"{TRIGGERS}",
                f"here.how must be a section {{name = ..., <arguments>}}, got 1; {DECAYS}",
            ],
        ),
        (
            {
                "name": "loss_aware",
                "base": -1,
                "when": PLATEAU | {"patience": -1, "mode": "up"},
                "how": MULTIPLY | {"factor": 0},
            },
            [
                "here.base must be a number of at least 0, got -1",
                "here.when.patience must be an integer of at least 0, got -1",
                "here.when.mode must be 'min' or 'max', got 'up'",
                "here.how.factor must be a number in (0, 1], got 0",
            ],
        ),
        (
            {"name": "join", "schedules": [0.1, "x", {"name": "constant"}], "boundaries": [1]},
            [
                "here.schedules[1] must be a number of at least 0, or a section "
                "{name = ..., <arguments>}, got 'x'",
                "here.schedules[2].value is missing",
            ],
        ),
        (
            {"name": "join", "schedules": 0.1, "boundaries": 2},
            [
                "here.schedules must be a list, got 0.1",
                "here.boundaries must be a list, each an integer of at least 0, got 2",
            ],
        ),
        (
            {"name": "join", "schedules": [0.1], "boundaries": [2]},
            ["here: boundaries must be one fewer than schedules, got 1 for 1"],
        ),
    ],
)
def test_every_mistake_of_a_section_is_told(section, problems):
    assert problems_in("schedule", section) == problems


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("no_such:thing", "cannot load data 'no_such:thing': No module named 'no_such'"),
        (f"{HERE}:nothing", f"module '{HERE}' has no attribute 'nothing'"),
        (f"{HERE}:HERE", f"'{HERE}' is no function"),
        (f"{HERE}:unresolved", "name 'Missing' is not defined"),
        ("builtins:dict", "no signature found for builtin type <class 'dict'>"),
        (f"{HERE}:lazily", f"'{HERE}:lazily' must return a Source, got a function"),
    ],
)
def test_a_factory_of_ones_own_that_does_not_do(path, problem):
    (found,) = problems_in("data", {"name": path})
    assert found.startswith("here.name: ")
    assert found.endswith(problem)


@pytest.mark.parametrize("kind", ["schedule", "trigger", "decay", "optimizer", "data"])
def test_what_a_factory_returns_is_checked(kind):
    (found,) = problems_in(kind, {"name": "os:getcwd"})
    assert found.startswith("here.name: 'os:getcwd' must return a ")
    assert found.endswith(", got a str")


def test_what_a_models_factory_returns_is_checked():
    (found,) = problems_in("model", {"name": "os:getcwd"})
    assert found.startswith("here: a model must be a lrdecay Model, a Flax Linen module, or an NNX")
    assert found.endswith(", got a str")


def test_an_error_of_many_lines_is_one_problem():
    assert problems_in("data", {"name": f"{HERE}:broken"}) == ["here: two lines"]


def test_defaults_are_filled_in_at_every_depth():
    plateau = {
        "name": "plateau",
        "patience": 10,
        "rtol": 1e-4,
        "atol": 0.0,
        "cooldown": 0,
        "window": 1,
        "mode": "max",
        "monitor": "value",
        "grace": 0,
        "convention": "optax",
    }
    staircase = {"name": "step", "init_value": 0.1, "decay_epochs": 2, "factor": 0.1}
    section = {
        "how": MULTIPLY,
        "name": "loss_aware",
        "when": {"mode": "max", "name": "plateau"},
        "base": {
            "name": "join",
            "boundaries": [3],
            "schedules": [0.1, {"decay_epochs": 2, "init_value": 0.1, "name": "step"}],
        },
    }
    full = with_defaults("schedule", section)
    assert full == {
        "name": "loss_aware",
        "base": {"name": "join", "schedules": [0.1, staircase], "boundaries": [3]},
        "when": plateau,
        "how": {"name": "multiply", "factor": 0.1, "floor": 0.0},
    }
    # In the order of the signatures, whatever that of the file.
    assert list(full) == ["name", "base", "when", "how"]
    assert list(full["when"]) == list(plateau)
    assert list(full["base"]["schedules"][1]) == list(staircase)


def test_a_duration_in_epochs_takes_the_place_of_its_default():
    name = f"{HERE}:lazily"
    assert with_defaults("schedule", {"name": name}) == {"name": name, "decay_steps": 10}
    section = {"name": name, "decay_epochs": 2}
    assert with_defaults("schedule", section) == section
    problems = []
    schedule = build("schedule", with_defaults("schedule", section), "arms.a", problems, RUN)
    assert problems == []
    assert float(schedule(199)) == pytest.approx(0.1)
    assert float(schedule(200)) == pytest.approx(0.01)


def test_what_the_study_gives_is_no_default_of_the_section():
    name = f"{HERE}:bare"
    assert with_defaults("model", {"name": name, "depth": 2}, given=("classes",)) == {
        "name": name,
        "sizes": (1, 2),
        "depth": 2,
    }
