"""The slope against least squares by SciPy, and on the histories that it is for."""

import numpy as np
import pytest
import scipy.stats
from histories import at_most, fired, first_fires, histories, progress
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, window, rtol, atol, z, cooldown, mode):
    sign = 1 if mode == "min" else -1
    points, resting, fires = [], 0, []
    for end in range(window, len(values) + 1, window):
        if resting:
            resting -= 1
            continue
        y = sign * float(np.mean(values[end - window : end], dtype=np.float64))
        if len(points) >= 5 and not at_most(y - points[-1], 3 * np.max(np.abs(np.diff(points)))):
            points = []
        points = [*points, y][-10:]
        if len(points) == 10:
            fit = scipy.stats.linregress(np.arange(10), points)
            tolerance = rtol * abs(np.mean(points)) + atol
            if at_most(9 * (z * fit.stderr - fit.slope), tolerance):
                fires.append(end - 1)
                points, resting = [], cooldown
    return fires


@settings(max_examples=100, deadline=None)
@given(
    values=histories(),
    window=st.sampled_from([1, 3]),
    rtol=st.sampled_from([0.0, 0.1, 0.5]),
    atol=st.sampled_from([0.0, 0.5, 2.0]),
    z=st.sampled_from([0.0, 1.0, 2.0]),
    cooldown=st.integers(0, 3),
    mode=st.sampled_from(["min", "max"]),
)
def test_equals_the_rule_written_down(values, **arguments):
    assert fired("slope", values, **arguments) == reference(values, **arguments)


def test_fires_where_progress_stops_and_not_before():
    histories = progress(1000, noise=5e-4, seeds=32, stops=500)
    assert np.all(first_fires("slope", histories, window=10) >= 500)
    delay = first_fires("slope", histories, first=500, window=10)
    assert np.all(delay <= 120)  # the last 10 windows of 10


def test_does_not_fire_in_steady_progress():
    assert np.all(first_fires("slope", progress(1000, noise=5e-4, seeds=64)) == 1000)


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_noise_above_all_progress_makes_it_wait_as_long_as_it_has_to_be_sure(noise):
    falling = progress(2000, noise=noise, seeds=128)
    waits = [np.median(first_fires("slope", falling, window=1, z=z)) for z in (2, 3, 4, 5)]
    assert np.all(waits > np.array([40, 110, 400, 1500]))


@pytest.mark.parametrize("height", [0.3, 2.0, 50.0])
@pytest.mark.parametrize("at", [30, 33, 37])
def test_a_spike_and_the_recovery_after_it_are_no_plateau(height, at):
    time = np.arange(100)
    values = 1 / (1 + 0.1 * time) + height * (time >= at) * 0.9 ** np.maximum(time - at, 0)
    assert fired("slope", values[:70], window=1) == []


def test_a_steady_worsening_is_no_progress():
    assert fired("slope", np.linspace(1, 2, 10), window=1) == [9]


@pytest.mark.parametrize("level", [0.0, 1.0, -3.0])
def test_a_constant_metric_is_a_plateau(level):
    assert fired("slope", [level] * 25, window=1) == [9, 19]


def test_a_large_offset_costs_no_accuracy():
    falling = 1e6 - np.arange(40.0)
    assert fired("slope", falling, window=1, rtol=0.0, atol=1.0) == []
    assert fired("slope", falling, window=1, rtol=0.0, atol=10.0) == [9, 19, 29, 39]


def test_neither_huge_nor_tiny_values_upset_it():
    falling = np.linspace(2, 1, 40)
    for scale in (1e-30, 1e30, 1e38):
        assert fired("slope", scale * falling, window=1) == []
        assert fired("slope", scale * np.ones(12), window=1) == [9]
