"""The presets: what the rate is on histories where it can be said in advance."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from examples import rates

from lrdecay import cooldown_on_plateau, explain, presets, reduce_on_plateau


def seen(schedule, values):
    """The rate in each step, and in the step after the last."""
    return np.asarray(rates(schedule, jnp.asarray([*values, 0.0], jnp.float32))[1])


def test_reduce_on_plateau_cuts_at_every_patience_down_to_the_floor():
    schedule = reduce_on_plateau(0.5, factor=0.1, patience=2, floor=0.005)
    np.testing.assert_allclose(
        seen(schedule, [1.0] * 7), [0.5, 0.5, 0.5, 0.05, 0.05, 0.005, 0.005, 0.0025], rtol=1e-6
    )


def test_reduce_on_plateau_hands_every_argument_on():
    values = [9.0, 3.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5]
    schedule = reduce_on_plateau(
        optax.linear_schedule(1.0, 0.0, 100), 0.5, 1, rtol=0.1, cooldown=1, window=2, grace=2
    )
    base = 1 - np.arange(9) / 100
    # From the value of step 2 on, in blocks: 2.5 (the first), 2.5 (bad: a cut), 2.5 (rests).
    np.testing.assert_allclose(seen(schedule, values), base * ([1.0] * 6 + [0.5] * 3), rtol=1e-6)


@pytest.mark.parametrize("shape", ["linear", "1-sqrt", "cosine"])
def test_cooldown_on_plateau_slides_once_from_the_plateau_on(shape):
    schedule = cooldown_on_plateau(0.2, steps=8, patience=3, floor=0.25, shape=shape)
    x = np.clip((np.arange(20) - 4) / 8, 0, 1)
    left = {"linear": 1 - x, "1-sqrt": 1 - np.sqrt(x), "cosine": (1 + np.cos(np.pi * x)) / 2}[shape]
    np.testing.assert_allclose(seen(schedule, np.ones(19)), 0.2 * (0.25 + 0.75 * left), rtol=1e-5)


def test_greedy_goes_up_to_the_top_and_down_to_the_bottom_and_takes_back_what_it_did():
    schedule = presets.greedy(0.1, factor=0.5, patience=1, low=0.25, high=3.0)
    values = [5.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0]
    expected = [1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 0.5, 0.25, 0.25, 0.5]
    np.testing.assert_allclose(seen(schedule, values), 0.1 * np.array(expected), rtol=1e-6)


def test_greedy_says_why():
    schedule = presets.greedy(0.1, factor=0.5, patience=2)
    state, _ = rates(schedule, jnp.asarray([3.0, 3.0, 3.0, 3.0]))
    assert explain(state).endswith("2 observations in a row to the same side of 3.")
