"""Triggers over signals, in training: SGD on a noisy quadratic, where the noise floor is known.

With curvature 1, unit noise in every direction and rate r, the stationary excess loss is
r / (2 (2 - r)) per dimension.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrdecay

RATE, DIMENSIONS, STEPS = 0.2, 64, 6000


def train(when, start):
    """SGD from `start` around a minimum at 3: loss and rate of each step, and the last state."""
    schedule = lrdecay.loss_aware(RATE, when=when, how=lrdecay.multiply(0.1))
    tx = lrdecay.scale_by_learning_rate(schedule)

    def step(carry, key):
        x, opt_state = carry
        grads = x - 3.0 + jax.random.normal(key, x.shape)
        loss = 0.5 * jnp.sum((x - 3.0) ** 2)
        updates, opt_state = tx.update(grads, opt_state, x, value=loss)
        return (x + updates, opt_state), (loss, lrdecay.learning_rate(opt_state))

    x = jnp.full(DIMENSIONS, start, jnp.float32)
    keys = jax.random.split(jax.random.key(0), STEPS)
    (_, opt_state), (losses, rates) = jax.lax.scan(step, (x, tx.init(x)), keys)
    return np.asarray(losses), np.asarray(rates), opt_state


def floor_of(rate):
    return DIMENSIONS * rate / (2 * (2 - rate))


@pytest.mark.parametrize(
    ("when", "start", "name"),
    [
        (lambda: lrdecay.at_most(lrdecay.stationarity(window=20), 1), 30.0, "STATIONARITY"),
        # Its sum has to make up for the way first: it starts closer.
        (lambda: lrdecay.at_most(lrdecay.pflug(burn_in=50), 1), 6.0, "PFLUG"),
        (lambda: lrdecay.at_most(lrdecay.variance(window=50), 1), 30.0, "VARIANCE"),
        (lambda: lrdecay.at_most(lrdecay.slope(window=50, rtol=0.1), 1), 30.0, "SLOPE"),
    ],
)
def test_one_cut_at_the_noise_floor_lowers_it_by_the_factor(when, start, name):
    losses, rates, opt_state = train(when(), start)
    cut = int(np.argmax(rates < RATE))
    # The way takes some 40 steps at this rate.
    assert 40 < cut < 3000
    assert np.mean(losses[cut - 20 : cut]) < 2 * floor_of(RATE)
    np.testing.assert_allclose(np.mean(losses[-2000:]), floor_of(0.1 * RATE), rtol=0.15)
    assert opt_state.schedule.memory.cause.reason == lrdecay.Reason[name]
    assert "Cut 1 at step" in lrdecay.explain(opt_state)
