"""Convergence against least squares by NumPy, and on the histories that it is for."""

import numpy as np
import pytest
import scipy.stats
from histories import at_most, fired, first_fires, histories, progress
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, horizon, window, rtol, atol, z, cooldown, mode):
    sign = 1 if mode == "min" else -1
    first, points, resting, fires = None, [], 0, []
    for end in range(window, len(values) + 1, window):
        y = sign * float(np.mean(values[end - window : end], dtype=np.float64))
        first = y if first is None else first
        if resting:
            resting -= 1
            continue
        points = [*points, y][-10:]
        if len(points) == 10:
            fit = scipy.stats.linregress(np.arange(10), points)
            expected = horizon / window * (z * fit.stderr - fit.slope)
            now = fit.intercept + 9 * fit.slope
            if at_most(expected, rtol * max(first - now, 0) + atol):
                fires.append(end - 1)
                points, resting = [], cooldown
    return fires


@settings(max_examples=100, deadline=None)
@given(
    values=histories(),
    horizon=st.sampled_from([1, 10, 100]),
    window=st.sampled_from([1, 3]),
    rtol=st.sampled_from([0.0, 0.1, 0.5]),
    atol=st.sampled_from([0.0, 0.5]),
    z=st.sampled_from([0.0, 1.0]),
    cooldown=st.integers(0, 3),
    mode=st.sampled_from(["min", "max"]),
)
def test_equals_the_rule_written_down(values, **arguments):
    assert fired("convergence", values, **arguments) == reference(values, **arguments)


def test_fires_where_progress_stops_and_not_before():
    histories = progress(1000, noise=5e-4, seeds=32, stops=500)
    settings = {"horizon": 100, "window": 10, "rtol": 0.005}
    assert np.all(first_fires("convergence", histories, **settings) >= 500)
    assert np.all(first_fires("convergence", histories, first=500, **settings) <= 120)


def test_does_not_fire_in_steady_progress():
    assert np.all(first_fires("convergence", progress(1000, noise=5e-4, seeds=64)) == 1000)


@pytest.mark.parametrize("rate", [0.01, 0.03])
def test_fires_when_as_much_is_left_as_was_asked(rate):
    # Without noise: exp(-rate t) gains rate * horizon * exp(-rate t) next, and has gained almost 1.
    values = np.exp(-rate * np.arange(1000))
    expected = -np.log(0.01 / (rate * 20)) / rate
    seen = fired("convergence", values, horizon=20, window=2, rtol=0.01, z=0.0)[0]
    assert expected - 1 <= seen <= expected + 20  # the line looks back over 20 observations


def test_scale_and_offset_do_not_matter():
    values = progress(1000, noise=0.002, stops=300)[0].astype(np.float32)
    expected = fired("convergence", values)
    assert expected != []
    for scale, offset in ((2.0**-60, 0.0), (2.0**60, 0.0), (2.0**20, 2.0**21), (1.0, -4.0)):
        assert fired("convergence", scale * values + offset) == expected


@pytest.mark.parametrize("level", [0.0, 1.0, -3.0])
def test_nothing_more_is_expected_of_a_constant_metric(level):
    assert fired("convergence", [level] * 25, window=1) == [9, 19]
