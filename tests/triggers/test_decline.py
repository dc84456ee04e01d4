"""The decline against its rule in float64, and on the histories that it is for."""

import numpy as np
import pytest
from histories import at_most, fired, first_fires, histories, progress
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, z, patience, cooldown, window, mode):
    sign = 1 if mode == "min" else -1
    heard, bad, resting, fires = [], 0, 0, []
    for end in range(window, len(values) + 1, window):
        if resting:
            resting -= 1
            continue
        heard.append(sign * float(np.mean(values[end - window : end], dtype=np.float64)))
        noise = 0.0
        for n, step in enumerate(np.abs(np.diff(heard)), start=1):
            noise += max(1 / n, 0.05) * (step * np.sqrt(np.pi) / 2 - noise)
        near = len(heard) < 5 or at_most(heard[-1] - min(heard), z * noise)
        bad = 0 if near else bad + 1
        if bad >= patience:
            fires.append(end - 1)
            heard, bad, resting = [], 0, cooldown
    return fires


@settings(max_examples=100, deadline=None)
@given(
    values=histories(),
    z=st.sampled_from([0.0, 1.0, 3.0]),
    patience=st.integers(1, 3),
    cooldown=st.integers(0, 3),
    window=st.sampled_from([1, 3]),
    mode=st.sampled_from(["min", "max"]),
)
def test_equals_the_rule_written_down(values, **arguments):
    assert fired("decline", values, **arguments) == reference(values, **arguments)


def accuracy(seeds, falls):
    """An accuracy that rises to 0.9 by a power law, and from epoch 60 on may fall again."""
    epoch = np.arange(120)
    rising = 0.9 - 0.5 / (1 + epoch)
    noise = np.random.default_rng(0).normal(scale=0.003, size=(seeds, 120))
    return rising + noise - (0.002 if falls else 0.0) * np.maximum(epoch - 60, 0)


def test_fires_where_validation_accuracy_starts_to_decrease():
    values = accuracy(32, falls=True)
    fires = [fired("decline", v, mode="max") for v in values]
    assert all(60 < f[0] <= 85 for f in fires)


def test_does_not_fire_on_an_accuracy_that_only_stagnates():
    fires = [fired("decline", v, mode="max") for v in accuracy(64, falls=False)]
    assert sum(f != [] for f in fires) <= 1


def test_does_not_fire_in_steady_progress():
    assert np.mean(first_fires("decline", progress(1000, noise=5e-4, seeds=64)) < 1000) < 0.05


def test_one_spike_is_no_decline():
    values = np.linspace(1, 0.5, 60)
    values[30:32] += 3.0
    assert fired("decline", values) == []


def test_only_a_further_decline_fires_again():
    values = np.concatenate([np.linspace(1, 0, 20), np.full(30, 5.0)])
    assert len(fired("decline", values)) == 1


@pytest.mark.parametrize("level", [0.0, 1.0, -3.0])
def test_a_constant_metric_does_not_decline(level):
    assert fired("decline", [level] * 30) == []


def test_offset_and_scale_do_not_matter():
    values = accuracy(1, falls=True)[0].astype(np.float32)
    expected = fired("decline", values, mode="max")
    for scale, offset in ((2.0**-60, 0.0), (2.0**60, 0.0), (2.0**14, 2.0**18), (1.0, -2.0)):
        assert fired("decline", scale * values + offset, mode="max") == expected
