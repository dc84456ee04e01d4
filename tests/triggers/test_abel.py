"""ABEL against its rule in plain Python, and on a norm that bounces."""

import numpy as np
from histories import fired
from hypothesis import given, settings
from hypothesis import strategies as st


def reference(values, window, turns, cooldown):
    norms = [float(np.mean(values[e - window : e])) for e in range(window, len(values) + 1, window)]
    direction, turned, resting, fires = 0, 0, 0, []
    for epoch in range(1, len(norms)):
        going = np.sign(norms[epoch] - norms[epoch - 1])
        turned += bool(going * direction < 0)
        direction = going or direction
        if resting:
            turned, resting = 0, resting - 1
        if turned >= turns:
            fires.append((epoch + 1) * window - 1)
            turned, resting = 0, cooldown
    return fires


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.integers(1, 6).map(float), min_size=60, max_size=60),
    window=st.sampled_from([1, 2, 4]),
    turns=st.integers(1, 3),
    cooldown=st.integers(0, 3),
)
def test_equals_the_rule_written_down(values, **arguments):
    assert fired("abel", values, **arguments) == reference(values, **arguments)


def test_fires_when_the_norm_has_bounced():
    # Falls to a minimum at epoch 30, rises to 40, and falls again.
    epoch = np.arange(60)
    norm = 10 + np.where(epoch < 40, np.abs(epoch - 30), 50 - epoch)
    assert fired("abel", np.repeat(norm, 5), window=5) == [5 * 41 + 4]


def test_a_norm_that_only_grows_or_stands_still_never_fires():
    assert fired("abel", np.linspace(1, 2, 300)) == []
    assert fired("abel", np.ones(300)) == []
