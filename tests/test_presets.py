"""The presets: what the rate is on histories where it can be said in advance."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from examples import rates

from lrdecay import auto, cooldown_on_plateau, explain, presets, reduce_on_plateau


def seen(schedule, values):
    """The rate in each step, and in the step after the last."""
    return np.asarray(rates(schedule, jnp.asarray([*values, 0.0], jnp.float32))[1])


def auto_by_hand(losses, peak):
    """The rates of `auto` from its definition: phases of 160, 320, ..., each cut into ten."""
    rates, begin, phase, cuts = [peak] * 160, 0, 160, 0
    while begin + phase <= len(losses):
        blocks = np.mean(np.reshape(losses[begin : begin + phase], (10, -1)), axis=1)
        fit = scipy.stats.linregress(np.arange(10), blocks)
        cuts += -9 * fit.slope <= 0.8 * np.sqrt(phase / 10) * 9 * fit.stderr
        begin, phase = begin + phase, 2 * phase
        rates += [peak * max(0.4**cuts, 1e-3)] * phase
    return np.array(rates[: len(losses) + 1])


def test_auto_is_its_definition():
    generator, cuts = np.random.default_rng(0), set()
    for time in (20, 200, 2000):
        losses = 2 * np.exp(-np.arange(6000) / time) + 0.2 * generator.normal(size=6000)
        expected = auto_by_hand(losses, 0.3)
        np.testing.assert_allclose(seen(auto(0.3), losses), expected, rtol=1e-6)
        cuts.add(np.sum(np.diff(expected) != 0))
    assert len(cuts) == 3


def test_auto_ends_at_a_thousandth_of_the_peak_and_waits_for_the_grace():
    rates = seen(auto(0.5, grace=40), np.ones(160 * 255 + 40))
    # The value of step 40 is the first that is looked at: it comes in before step 41.
    steps = 40 + 160 * (2 ** np.arange(1, 9) - 1)
    assert np.flatnonzero(np.diff(rates)).tolist() == (steps - 1).tolist()
    np.testing.assert_allclose(rates[steps], 0.5 * np.maximum(0.4 ** np.arange(1, 9), 1e-3), 1e-6)


def test_auto_looks_at_the_metric_it_is_given_and_in_its_mode():
    losses = np.concatenate([np.linspace(2, 1, 160), np.ones(320)])
    by_loss = seen(auto(0.1), losses)
    np.testing.assert_array_equal(seen(auto(0.1, mode="max"), -losses), by_loss)
    np.testing.assert_allclose(by_loss[[0, 479, 480]], [0.1, 0.1, 0.04], rtol=1e-6)
    assert auto(0.1, monitor="accuracy").when.monitors == ("accuracy",)


def test_auto_says_why():
    state, _ = rates(auto(0.1), jnp.ones(161))
    assert explain(state).endswith("0 gained in the whole phase, against noise of 0.")


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
