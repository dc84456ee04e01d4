"""Greedy against Transformers' recorded rates and a brute-force reference."""

import numpy as np
from histories import changes, progress
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, patience, rtol, atol, cooldown, warmup, cuts, raises, window, mode):
    sign = 1 if mode == "min" else -1
    best, good, bad, rest, level, levels = np.inf, 0, 0, 0, 0, []
    for end in range(1, len(values) + 1):
        if end % window == 0:
            value = sign * float(np.mean(values[end - window : end], dtype=np.float64))
            margin = atol + (rtol * abs(best) if np.isfinite(best) else 0.0)
            if rest:
                rest, good, bad = rest - 1, 0, 0
            elif value < best - margin:
                best, good, bad = value, good + 1, 0
            else:
                good, bad = 0, bad + 1
            if good >= patience:
                level, good, rest = max(level - 1, -raises), 0, warmup
            if bad >= patience:
                level, bad, rest = min(level + 1, cuts), 0, cooldown
        levels.append(level)
    return levels


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.integers(-16, 16).map(lambda k: k / 8), min_size=60, max_size=60),
    patience=st.integers(1, 3),
    rtol=st.sampled_from([0.0, 0.125]),
    atol=st.sampled_from([0.0, 0.125]),
    cooldown=st.integers(0, 3),
    warmup=st.integers(0, 3),
    cuts=st.integers(0, 4),
    raises=st.integers(0, 2),
    window=st.sampled_from([1, 2]),
    mode=st.sampled_from(["min", "max"]),
)
def test_equals_the_rule_written_down(values, mode, **arguments):
    levels = np.cumsum(changes("greedy", values, mode=mode, **arguments))
    assert levels.tolist() == reference(values, mode=mode, **arguments)


def test_steady_progress_raises_to_the_top_and_a_stop_lowers_to_the_bottom():
    values = progress(400, noise=0.0, stops=100)[0]
    levels = np.cumsum(changes("greedy", values, patience=5, cuts=7, raises=3))
    assert levels[100] == -3
    assert levels[-1] == 7
    assert np.all(np.diff(levels[:100]) <= 0)
    assert np.all(np.diff(levels[101:]) >= 0)


def test_the_level_does_not_wind_up_beyond_its_limits():
    falling_then_flat = np.concatenate([np.linspace(9, 0, 90), np.zeros(6)])
    levels = np.cumsum(changes("greedy", falling_then_flat, patience=3, raises=2))
    assert levels[89] == -2
    assert levels[-1] == 0  # two cuts, and not first those that take back what had no effect
