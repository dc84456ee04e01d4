"""Page-Hinkley against its rule in float64, and on the histories that it is for."""

import numpy as np
from histories import at_most, fired, first_fires, histories, progress
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, slack, threshold, beta, cooldown, mode):
    sign = 1 if mode == "min" else -1
    seen = resting = 0
    last, fires = None, []
    for i, value in enumerate(sign * np.asarray(values, np.float64)):
        if resting:
            resting -= 1
            continue
        if seen == 0:
            mean, noise, total = value, 0.0, 0.0
        else:
            noise += max(1 / seen, 0.05) * (abs(value - last) * np.sqrt(np.pi) / 2 - noise)
            total = max(total + min((value - mean) / noise, 4.0) + slack, 0.0)
            mean += max(1 / (seen + 1), 1 - beta) * (value - mean)
        last, seen = value, seen + 1
        if not at_most(total, threshold):
            fires.append(i)
            seen, resting = 0, cooldown
    return fires


@settings(max_examples=100, deadline=None)
@given(
    values=histories(),
    slack=st.sampled_from([0.0, 0.25, 1.0]),
    threshold=st.sampled_from([3.0, 10.0, 25.0]),
    beta=st.sampled_from([0.0, 0.5, 0.9375]),
    cooldown=st.integers(0, 3),
    mode=st.sampled_from(["min", "max"]),
)
def test_equals_the_rule_written_down(values, **arguments):
    assert fired("page_hinkley", values, **arguments) == reference(values, **arguments)


def test_fires_where_progress_stops_and_not_before():
    histories = progress(1000, noise=5e-4, seeds=32, stops=500)
    settings = {"slack": 0.25, "threshold": 25.0, "beta": 0.95}
    assert np.all(first_fires("page_hinkley", histories, **settings) >= 500)
    assert np.all(first_fires("page_hinkley", histories, first=500, **settings) <= 300)


def test_false_alarms_are_rare_in_steady_progress():
    steady = progress(1000, noise=5e-4, seeds=128)
    assert np.mean(first_fires("page_hinkley", steady) < 1000) < 0.05


def test_the_delay_is_threshold_by_slack_where_there_is_nothing_but_a_stop():
    assert fired("page_hinkley", np.ones(250), slack=0.25, threshold=25.0) == [100, 201]


def test_one_outlier_does_not_fire():
    values = np.linspace(1, 0, 60)
    values[30] += 1000.0
    assert fired("page_hinkley", values) == []


def test_a_small_change_shows_on_a_large_offset():
    # Float32 has steps of 1/16 there: a mean kept in it could not move by 1 / 20 of the noise.
    noise = np.random.default_rng(0).normal(size=1000)
    settings = {"threshold": 25.0, "beta": 0.95}
    assert fired("page_hinkley", 1e6 + noise - 0.5 * np.arange(1000), **settings) == []
    expected = fired("page_hinkley", noise, **settings)
    seen = fired("page_hinkley", 1e6 + noise, **settings)
    assert len(expected) > 5
    assert abs(len(seen) - len(expected)) <= 1
