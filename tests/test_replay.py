"""Replay against a plain Python loop over the schedule, and against plateaus found by hand."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from examples import PARTS, stateful
from hypothesis import given, settings
from hypothesis import strategies as st
from optax.schedules import StatefulSchedule

import lrdecay

NOISY = np.random.default_rng(0).normal(size=40).astype(np.float32)
ODD = np.where(np.arange(40) % 7 == 3, np.nan, NOISY)
# Without the schedules, most of which hear nothing.
HEARING = [(kind, name) for kind, name in PARTS if kind != "schedule"]
SOMETIMES = np.random.default_rng(1).random(40) < 0.6


def cut(patience=3, rtol=0.0, factor=0.1, monitor="value", base=0.1):
    when = lrdecay.plateau(patience=patience, rtol=rtol, monitor=monitor)
    return lrdecay.loss_aware(base, when=when, how=lrdecay.multiply(factor))


def loop(schedule, rows):
    """The rates and fires of a history, and of the step to come: one Python call after another."""

    @jax.jit
    def step(state, row):
        return schedule(state), schedule.update(state, **row)

    state, rates, fired = schedule.init(), [], []
    for row in [*rows, dict.fromkeys(rows[-1])]:
        rate, state = step(state, row)
        rates.append(float(rate))
        fired.append(int(lrdecay.fires(state)))
    return np.asarray(rates, np.float32), np.asarray(fired)


def assert_same(replayed, expected):
    np.testing.assert_allclose(replayed.learning_rate, expected[0], rtol=1e-6)
    np.testing.assert_array_equal(replayed.fires, expected[1])


def plateaus(values, patience):
    """Which of the values end a plateau, by the rule in plain Python."""
    best, bad, ends = np.inf, 0, []
    for value in values:
        if not np.isfinite(value):
            ends.append(False)
            continue
        better = value < best
        best, bad = (value, 0) if better else (best, bad + 1)
        ends.append(bad == patience)
        bad = 0 if ends[-1] else bad
    return ends


@pytest.mark.parametrize(("kind", "name"), PARTS, ids=lambda x: x)
def test_replay_equals_a_python_loop(kind, name):
    schedule = stateful(kind, name)
    assert_same(lrdecay.replay(schedule, ODD), loop(schedule, [{"value": v} for v in ODD]))


@pytest.mark.parametrize(("kind", "name"), HEARING, ids=lambda x: x)
def test_a_missing_observation_is_none_at_all(kind, name):
    schedule = stateful(kind, name)
    rows = [{"value": v if p else None} for v, p in zip(ODD, SOMETIMES, strict=True)]
    assert_same(lrdecay.replay(schedule, ODD, SOMETIMES), loop(schedule, rows))


@jax.jit
def halved(values, patience):
    return lrdecay.replay(cut(patience, factor=0.5), values)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan, np.inf]), min_size=30, max_size=30),
    st.integers(1, 5),
)
def test_the_difference_of_fires_says_which_value_ended_a_plateau(values, patience):
    replayed = halved(np.asarray(values), patience)
    ends = plateaus(values, patience)
    np.testing.assert_array_equal(np.diff(replayed.fires), ends)
    expected = 0.1 * 0.5 ** np.cumsum([0, *ends])
    np.testing.assert_allclose(replayed.learning_rate, expected, rtol=1e-6)


def test_the_last_row_is_the_rate_that_comes_next():
    whole = lrdecay.replay(cut(), NOISY)
    for n in (0, 1, 17, 39):
        part = lrdecay.replay(cut(), NOISY[:n])
        chex.assert_trees_all_close(part, jax.tree.map(lambda x, n=n: x[: n + 1], whole))


class CountsNonfinite:
    """A schedule that is not ours: its rate is the number of values that were not finite."""

    def init(self):
        return jnp.zeros((), jnp.float32)

    def update(self, state, value, **extra_args):
        return state if value is None else state + jnp.where(jnp.isfinite(value), 0.0, 1.0)

    def __call__(self, state, **extra_args):
        return state


def test_a_nan_is_told_to_the_schedule_as_a_value():
    assert isinstance(CountsNonfinite(), StatefulSchedule)
    replayed = lrdecay.replay(CountsNonfinite(), [1.0, np.nan, 2.0, np.inf, -np.inf])
    np.testing.assert_array_equal(replayed.learning_rate, [0, 0, 1, 1, 2, 3])


def test_metrics_on_clocks_of_their_own_reach_the_triggers_that_watch_them():
    schedule = cut(3, monitor="accuracy", base=cut(5))
    each_fourth = np.arange(40) % 4 == 3
    accuracy = np.where(each_fourth, 1.0, 1e9)
    rows = [
        {"value": v, "accuracy": a if there else None}
        for v, a, there in zip(NOISY, accuracy, each_fourth, strict=True)
    ]
    replayed = lrdecay.replay(
        schedule, {"value": NOISY, "accuracy": accuracy}, {"accuracy": each_fourth}
    )
    assert_same(replayed, loop(schedule, rows))
    assert np.max(replayed.fires) > np.max(lrdecay.replay(cut(5), NOISY).fires)


def test_one_array_is_of_the_one_metric_watched():
    by_name = lrdecay.replay(cut(monitor="val_loss"), {"val_loss": NOISY})
    chex.assert_trees_all_equal(lrdecay.replay(cut(monitor="val_loss"), NOISY), by_name)


def test_a_schedule_of_the_step_alone_is_replayed_too():
    replayed = lrdecay.replay(lrdecay.cosine(0.1, 40), NOISY)
    np.testing.assert_allclose(replayed.learning_rate, lrdecay.cosine(0.1, 40)(jnp.arange(41)))
    np.testing.assert_array_equal(replayed.fires, 0)
    np.testing.assert_array_equal(lrdecay.replay(0.5, [1, 2]).learning_rate, [0.5] * 3)


def test_one_program_replays_many_hyperparameters():
    chex.clear_trace_counter()

    @jax.jit
    @jax.vmap
    @chex.assert_max_traces(n=1)
    def sweep(patience, factor):
        return lrdecay.replay(cut(patience, factor=factor), ODD)

    for patiences in ((1, 2, 6), (3, 4, 5)):
        together = sweep(jnp.asarray(patiences), jnp.asarray([0.1, 0.5, 0.9]))
        for i, (patience, factor) in enumerate(zip(patiences, (0.1, 0.5, 0.9), strict=True)):
            one = lrdecay.replay(cut(patience, factor=factor), ODD)
            chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], together), one)


def test_one_program_replays_many_histories():
    histories = jnp.stack([NOISY, -NOISY, jnp.zeros(40)])
    program = jax.jit(jax.vmap(functools.partial(lrdecay.replay, cut())))
    for scale in (1.0, 2.0):
        together = program(scale * histories)
        for i, values in enumerate(scale * histories):
            one = lrdecay.replay(cut(), values)
            chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], together), one)
    assert program._cache_size() == 1


TWO = cut(monitor="accuracy", base=cut())


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, "values of value must be real numbers, got complex64", [cut(), 1j * NOISY]),
        (
            TypeError,
            "present of value must be True or False, got int",
            [cut(), [1.0], np.ones(1, int)],
        ),
        (ValueError, "values must have accuracy, .* got value", [TWO, {"value": [1.0]}]),
        (ValueError, "values must be a mapping with accuracy and value", [TWO, [1.0]]),
        (ValueError, "one dimension and the same length, got shapes ()", [cut(), 1.0]),
        (ValueError, r"got shapes \(1,\), \(2,\)", [cut(), [1.0, 2.0], [True]]),
        (ValueError, "got shapes of nothing", [0.1, {}]),
        (ValueError, "got also loss", [cut(), [1.0], {"loss": [True]}]),
    ],
)
def test_what_cannot_be_replayed_is_refused_by_name(error, message, arguments):
    with pytest.raises(error, match=message):
        lrdecay.replay(*arguments)


def test_each_rate_has_its_reason():
    schedule = lrdecay.loss_aware(
        1.0, when=lrdecay.plateau(patience=2) | lrdecay.at([5]), how=lrdecay.multiply(0.5)
    )
    replayed = lrdecay.replay(schedule, [1.0, 1.0, 1.0, np.nan, 0.5, 0.4])
    names = [lrdecay.Reason(int(r)).name for r in replayed.reason]
    assert names == [
        *("SCHEDULE", "SCHEDULE", "SCHEDULE", "PLATEAU", "NONFINITE", "STEP", "SCHEDULE"),
    ]
    assert lrdecay.replay(0.1, [1.0, 2.0]).reason.tolist() == [0, 0, 0]


def test_the_cause_is_that_of_the_last_change_in_whichever_schedule():
    inner = lrdecay.loss_aware(1.0, when=lrdecay.at([1, 4]), how=lrdecay.multiply(0.5))
    outer = lrdecay.loss_aware(
        inner, when=lrdecay.plateau(patience=2), how=lrdecay.rungs([1.0, 0.5])
    )
    for schedule, codes in [
        (inner, [0, 7, 7, 7, 7, 7, 7, 7]),
        # The second plateau has no rung to go to, and changes nothing.
        (outer, [0, 7, 7, 6, 7, 7, 7, 7]),
    ]:
        cause = lrdecay.replay(schedule, [1.0] * 7).cause
        assert cause.reason.tolist() == codes
        assert cause.change.tolist() == [0] + [1] * 7
    best, bad = lrdecay.replay(outer, [3.0, 4.0, 5.0]).cause.evidence
    assert (best[-1], bad[-1]) == (3.0, 2.0)
    assert lrdecay.replay(0.1, [1.0, 2.0]).cause.change.tolist() == [0, 0, 0]
