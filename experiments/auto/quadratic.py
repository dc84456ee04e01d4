"""SGD on a noisy quadratic: a yardstick on which the best possible schedule can be computed.

The loss is sum h_i x_i^2 / 2, and a step is x_i <- x_i - rate (h_i x_i + sqrt(C_i) eps). So for a
schedule of the step alone m_i = E x_i^2 obeys m_i <- (1 - rate h_i)^2 m_i + rate^2 C_i, exactly.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

STEPS = 4096
DIMENSIONS = 32


class Problem(NamedTuple):
    """A condition; every leaf may have a leading axis of conditions.

    Attributes:
      curvature: h, the largest is 1, f32[DIMENSIONS].
      variance: C, of the gradient noise by direction, f32[DIMENSIONS].
      start: m of step 0, f32[DIMENSIONS].
      peak: the rate that the user gives, f32[].
      offset: what is added to the observed loss, as a mini-batch loss does not go to 0, f32[].
      sigma: standard deviation of the noise of the observed loss, f32[].
    """

    curvature: jax.Array
    variance: jax.Array
    start: jax.Array
    peak: jax.Array
    offset: jax.Array
    sigma: jax.Array


def problem(spread: Any, variance: Any, peak: Any, offset: Any, sigma: Any) -> Problem:
    """A condition with an expected loss of 1 at the start.

    Args:
      spread: h_i = i^-spread; 0 makes all directions equal.
      variance: the noise C_i = variance x h_i of the gradient follows the curvature.
      peak: the rate that the user gives; 2 is the largest that is stable.
      offset: level of the observed loss at the optimum.
      sigma: noise of the observed loss.
    """
    h = jnp.arange(1, DIMENSIONS + 1, dtype=jnp.float32) ** -jnp.asarray(spread)
    start = jnp.full(DIMENSIONS, 2.0) / jnp.sum(h)
    return Problem(h, variance * h, start, peak, offset, sigma)


def expected(p: Problem, rates: jax.Array) -> jax.Array:
    """The exact expected loss after each step of a schedule, f32[steps]."""

    def step(m: jax.Array, rate: jax.Array) -> tuple[jax.Array, jax.Array]:
        m = (1 - rate * p.curvature) ** 2 * m + rate**2 * p.variance
        return m, jnp.sum(p.curvature * m) / 2

    return jax.lax.scan(step, p.start, rates)[1]


def best(p: Problem) -> jax.Array:
    """The rates that take the expected loss down fastest at every step, capped at the peak.

    With equal directions no schedule has a lower loss at any step: m' grows with m, so the greedy
    rate h m / (h^2 m + C) is the best, and with it 1/m grows by h^2 / C a step: the 1/t law.
    """

    def step(m: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        h, c = p.curvature, p.variance
        rate = jnp.minimum(p.peak, jnp.sum(h**2 * m) / jnp.sum(h**3 * m + h * c))
        return (1 - rate * h) ** 2 * m + rate**2 * c, rate

    return jax.lax.scan(step, p.start, None, STEPS)[1]


class Run(NamedTuple):
    """What a run did, f32[STEPS] each.

    Attributes:
      loss: loss without the noise of observation, after each step.
      rate: the rate of each step.
    """

    loss: jax.Array
    rate: jax.Array


def simulate(p: Problem, schedule: Any, key: jax.Array) -> Run:
    """One run of SGD under a stateful schedule, which sees the noisy loss of each step."""
    start_key, key = jax.random.split(key)

    def step(carry: Any, key: jax.Array) -> tuple[Any, Run]:
        x, state = carry
        shocks = jax.random.normal(key, (DIMENSIONS + 1,))
        seen = p.offset + jnp.sum(p.curvature * x**2) / 2 + p.sigma * shocks[-1]
        rate = schedule(state)
        x = x - rate * (p.curvature * x + jnp.sqrt(p.variance) * shocks[:-1])
        loss = jnp.sum(p.curvature * x**2) / 2
        return (x, schedule.update(state, value=seen)), Run(loss, rate)

    x = jnp.sqrt(p.start) * jax.random.rademacher(start_key, (DIMENSIONS,), jnp.float32)
    return jax.lax.scan(step, (x, schedule.init()), jax.random.split(key, STEPS))[1]
