"""Statistics against closed forms, SciPy's own tests, and slow loops that say the same."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lrdecay.study.history import History
from lrdecay.study.statistics import (
    as_json,
    cuts,
    mean_interval,
    oscillation,
    paired_interval,
    steps_to_target,
    summarise,
)


def record(arms: int, seeds: int, steps: int, epochs: int, **given: np.ndarray) -> History:
    """A history of ones, but for what is given."""
    shapes = {
        **dict.fromkeys(("loss", "grad_norm", "learning_rate", "fires"), (steps,)),
        **dict.fromkeys(("val_loss", "val_accuracy"), (epochs,)),
    }
    ones = {
        f.name: np.ones(
            (arms, seeds, *shapes.get(f.name, ())), np.int32 if f.name == "fires" else np.float32
        )
        for f in dataclasses.fields(History)
    }
    return History(**{**ones, **given})


@pytest.mark.parametrize("n", [2, 3, 10, 30])
def test_interval_is_that_of_a_t_test(n: int):
    values = np.random.default_rng(n).normal(3.0, 2.0, n)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    got = mean_interval(values)
    np.testing.assert_allclose(got, (values.mean(), expected.low, expected.high), rtol=1e-12)


def test_interval_by_hand():
    # The 97.5 % point of t with 2 degrees of freedom, from a printed table.
    half = 4.3027 / math.sqrt(3)
    np.testing.assert_allclose(
        mean_interval(np.array([1.0, 2.0, 3.0])), (2, 2 - half, 2 + half), 1e-4
    )


def test_interval_covers_the_truth_as_often_as_it_says():
    samples = np.random.default_rng(0).normal(size=(4000, 5))
    outside = np.mean([mean_interval(sample).excludes_zero for sample in samples])
    assert outside == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 4000))


def test_equal_values_give_an_interval_of_no_width():
    assert mean_interval(np.full(4, 0.5, np.float32)) == (0.5, 0.5, 0.5)


def test_one_value_has_no_interval_and_none_no_mean():
    mean, low, high = mean_interval(np.array([0.25]))
    assert mean == 0.25
    assert math.isnan(low)
    assert math.isnan(high)
    assert not mean_interval(np.array([0.25])).excludes_zero
    assert all(math.isnan(x) for x in mean_interval(np.array([])))


def test_paired_interval_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 10, 8)
    a, b = (shared + rng.normal(mean, 1, 8) for mean in (1, 0))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    np.testing.assert_allclose(paired_interval(a, b)[1:], expected, rtol=1e-12)


def test_oscillation_of_a_saw_tooth():
    # Every difference is 2 a: the root of half its square is a times the root of 2.
    saw = 0.3 * (-1.0) ** np.arange(50)
    assert oscillation(saw) == pytest.approx(0.3 * math.sqrt(2))


def test_oscillation_of_white_noise_is_its_deviation_and_a_trend_does_not_raise_it():
    noise = np.random.default_rng(2).normal(0, 0.1, 100_000)
    trend = np.linspace(10, 0, 100_000)
    assert oscillation(noise) == pytest.approx(0.1, rel=0.02)
    assert oscillation(noise + trend) == pytest.approx(oscillation(noise), rel=1e-3)


def test_oscillation_looks_at_the_last_fifth():
    loss = np.concatenate([np.random.default_rng(3).normal(size=80), np.full(20, 0.1)])
    assert oscillation(loss) == 0
    loss[:80] = np.inf
    assert oscillation(loss) == 0
    loss[80] = 0.2
    assert oscillation(loss) == pytest.approx(0.1 / math.sqrt(2 * 19))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_oscillation_of_a_loss_that_is_not_finite_is_nan(value: float):
    loss = np.ones((2, 3, 20), np.float32)
    loss[1, 2, -3:] = value
    expected = np.zeros((2, 3))
    expected[1, 2] = np.nan
    np.testing.assert_array_equal(oscillation(loss), expected)


def test_oscillation_needs_two_steps():
    np.testing.assert_array_equal(oscillation(np.array([[1.0], [2.0]])), [np.nan, np.nan])
    np.testing.assert_allclose(oscillation(np.array([[1.0, 3.0]])), [math.sqrt(2)])


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=3),
    st.floats(0, 1),
    st.integers(1, 50),
)
def test_steps_to_target_is_a_search(runs: list[list[float]], target: float, per_epoch: int):
    def search(run: list[float]) -> float:
        for epoch, accuracy in enumerate(run, start=1):
            if accuracy >= target:
                return epoch * per_epoch
        return math.inf

    got = steps_to_target(np.array(runs), target, per_epoch)
    np.testing.assert_array_equal(got, [search(run) for run in runs])


def test_an_accuracy_that_is_not_a_number_reaches_no_target():
    assert steps_to_target(np.array([np.nan, 0.5]), 0.5, 10) == 20
    assert steps_to_target(np.array([np.nan, np.nan]), 0.5, 10) == math.inf


def no_fires(rate: np.ndarray) -> np.ndarray:
    return np.zeros(rate.shape, np.int32)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1e-3, 0.01, 0.05, 0.1]), st.integers(2, 6)),
        min_size=1,
        max_size=6,
    )
)
def test_cuts_of_a_staircase_are_where_a_lower_stair_begins(stairs: list[tuple[float, int]]):
    rate = np.repeat([r for r, _ in stairs], [n for _, n in stairs]).astype(np.float32)
    runs = [(value, len(list(group))) for value, group in itertools.groupby(rate)]
    starts = itertools.accumulate(length for _, length in runs)
    expected = [
        s for s, (a, b) in zip(starts, itertools.pairwise(runs), strict=False) if b[0] < a[0]
    ]
    np.testing.assert_array_equal(cuts(rate, no_fires(rate)), expected)


def test_cuts_in_the_first_and_the_last_step_there_can_be():
    rate = np.array([0.1, 0.01, 0.01, 0.01, 0.001])
    np.testing.assert_array_equal(cuts(rate, no_fires(rate)), [1, 4])


@pytest.mark.parametrize("steps", [1, 3, 570, 100_000])
@pytest.mark.parametrize("floor", [0.0, 0.01])
def test_smooth_schedules_have_no_cuts(steps: int, floor: float):
    left = 1 - np.arange(steps) / max(steps, 10)
    for shape in (np.ones(steps), np.sin(np.pi / 2 * left) ** 2, 0.01 ** (1 - left), left**2):
        # In float32, and so flat in places and a rounding lower right after.
        rate = (floor + 0.1 * shape).astype(np.float32)
        np.testing.assert_array_equal(cuts(rate, no_fires(rate)), [])


def test_a_trigger_cuts_a_smooth_schedule_where_it_fires():
    fires = np.repeat([0, 1, 3], [30, 40, 30]).astype(np.int32)
    rate = np.cos(np.arange(100) / 100) * 0.5**fires
    np.testing.assert_array_equal(cuts(rate, fires), [30, 70])


def test_a_fire_that_lowers_nothing_is_no_cut():
    fires = np.repeat([0, 1, 2], 10).astype(np.int32)
    last_rung = np.repeat([0.1, 0.01, 0.01], 10)
    np.testing.assert_array_equal(cuts(last_rung, fires), [10])


def test_summary_by_hand():
    steps = np.arange(10)
    rate = np.full((2, 3, 10), 0.1)
    rate[1, 0] = np.where(steps < 4, 0.1, 0.01)
    rate[1, 1] = np.where(steps < 6, 0.1, 0.01)
    rate[1, 1, 8:] = 0.001
    loss = np.ones((2, 3, 10))
    loss[1, :, -1] = 1 + math.sqrt(2) * np.array([1, 2, 3])
    test_accuracy = np.array([[0.5, 0.6, 0.7], [0.6, 0.7, 0.8]])
    history = record(
        *(2, 3, 10, 2),
        learning_rate=rate,
        loss=loss,
        test_accuracy=test_accuracy,
        train_accuracy=test_accuracy + 0.125,
        train_loss=np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]]),
        val_accuracy=np.array(
            [[[0.0, 0.9], [0.0, 0.0], [0.0, 0.0]], [[0.9, 0.0], [0.0, 0.9], [0.0, 0.0]]]
        ),
    )
    first, second = summarise(history, ["a", "b"], 0.9, 5)
    assert (first.name, first.seeds, first.diverged) == ("a", 3, 0)
    assert first.difference is None
    assert (first.reached, first.steps_to_target) == (1, None)
    assert (first.cuts, first.cut_steps) == (0, ())
    assert first.test_accuracy.mean == pytest.approx(0.6)
    assert second.difference is not None
    assert second.difference == pytest.approx((0.1, 0.1, 0.1))
    assert second.difference.excludes_zero
    assert second.gap == pytest.approx((0.125, 0.125, 0.125))
    assert second.final_loss == mean_interval(np.array([1.0, 2.0, 3.0]))
    # The last fifth of ten steps is two of them, and so one difference.
    assert second.oscillation == pytest.approx(mean_interval(np.array([1.0, 2.0, 3.0])))
    assert (second.reached, second.steps_to_target) == (2, 10)
    # One, two and no cuts: the second cut is that of the one run which had it.
    assert (second.cuts, second.cut_steps) == (1, (5, 8))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_diverged_seeds_are_counted_and_left_out_of_the_loss_alone(value: float):
    loss = np.ones((1, 5, 20))
    loss[0, 1, 5:] = value
    loss[0, 2, -2] = value  # in one late step: its final loss is finite
    train_loss = np.array([[1.0, value, 50.0, 3.0, value]])
    accuracy = np.array([[0.9, 0.1, 0.8, 0.9, 0.2]])
    history = record(1, 5, 20, 2, loss=loss, train_loss=train_loss, test_accuracy=accuracy)
    (summary,) = summarise(history, ["a"], 0.5, 10)
    assert summary.diverged == 3
    assert summary.final_loss == mean_interval(np.array([1.0, 3.0]))
    assert summary.oscillation == (0, 0, 0)
    assert summary.test_accuracy == mean_interval(accuracy[0])
    assert summary.gap == mean_interval(1 - accuracy[0])


def test_an_arm_that_was_retired_is_summarised_until_then():
    rate = np.full((2, 2, 20), 0.1)
    rate[1, :, 4:] = 0.01
    history = record(
        *(2, 2, 20, 4),
        learning_rate=rate,
        val_accuracy=np.full((2, 2, 4), 0.5),
        fires=np.zeros((2, 2, 20), np.int32),
    )
    for array in (history.loss, history.learning_rate):
        array[1, :, 10:] = np.nan
    history.fires[1, :, 10:] = -1
    history.val_accuracy[1] = [[0.5, 0.7, np.nan, np.nan], [0.5, 0.9, np.nan, np.nan]]
    for array in (history.train_loss, history.train_accuracy, history.test_accuracy):
        array[1] = np.nan
    first, second = summarise(history, ["a", "b"], 0.8, 5)
    assert (first.retired, second.retired) == (None, 2)
    assert first.val_accuracy.mean == 0.5
    assert second.val_accuracy == mean_interval(np.array([0.7, 0.9]))
    assert second.diverged == 0
    assert second.difference is None
    assert (second.reached, second.steps_to_target) == (1, None)
    assert (second.cuts, second.cut_steps) == (1, (4,))
    for interval in (second.test_accuracy, second.final_loss, second.gap, second.oscillation):
        assert np.isnan(interval).all()
    history.loss[1, 0, 9] = np.inf
    assert summarise(history, ["a", "b"], 0.8, 5)[1].diverged == 1


def test_an_early_spike_is_no_divergence():
    loss = np.ones((1, 2, 20))
    loss[0, 0, 3] = np.inf
    (summary,) = summarise(record(1, 2, 20, 2, loss=loss), ["a"], 0.5, 10)
    assert summary.diverged == 0
    assert summary.final_loss.mean == 1


def test_a_run_of_one_step_has_a_final_loss():
    (summary,) = summarise(record(1, 2, 1, 1), ["a"], 0.5, 1)
    assert summary.diverged == 0
    assert summary.final_loss.mean == 1
    assert math.isnan(summary.oscillation.mean)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("value", [1.0, np.nan, np.inf])
def test_summary_is_strict_json(seeds: int, value: float):
    shape = (2, seeds)
    history = record(
        *(*shape, 20, 2),
        loss=np.full((*shape, 20), value),
        train_loss=np.full(shape, value),
        val_accuracy=np.zeros((*shape, 2)),
    )
    for summary in summarise(history, ["a", "b"], 0.5, 10):
        back = json.loads(json.dumps(as_json(summary), allow_nan=False))
        assert back.keys() == {f.name for f in dataclasses.fields(summary)}
        assert back["test_accuracy"]["mean"] == 1
        assert back["final_loss"]["mean"] == (1 if value == 1 else None)
        assert (back["final_loss"]["low"] is None) == (seeds == 1 or value != 1)
        assert back["steps_to_target"] is None
        assert back["cut_steps"] == []
