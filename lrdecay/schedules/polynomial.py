"""The straight line and the polynomial."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay.arguments import NonNegative, Positive, Steps, checked
from lrdecay.schedules.base import Schedule
from lrdecay.schedules.clock import as_count, as_float, shares
from lrdecay.schedules.shapes import Pair, between, phase, raised


@checked
def linear(init_value: NonNegative, end_value: NonNegative, decay_steps: Steps) -> Schedule:
    """A straight line from `init_value` to `end_value`, up or down.

    With an `end_value` of 0 it is linear-to-zero (Defazio et al. 2023; Bergsma et al. 2025), and
    the budgeted schedule of Li et al. 2020.

    Args:
      init_value: rate at step 0.
      end_value: rate from step `decay_steps` on.
      decay_steps: length of the line in steps.
    """
    return phase(init_value, end_value, decay_steps)


@checked
def polynomial(
    init_value: NonNegative,
    decay_steps: Steps,
    power: Positive = 1.0,
    end_value: NonNegative = 0.0,
    cycle: bool = False,
) -> Schedule:
    """`(init_value - end_value) * (1 - t / decay_steps) ** power + end_value`.

    Args:
      init_value: rate at step 0.
      decay_steps: length of the decay in steps.
      power: the exponent, above 0; 1 is a straight line.
      end_value: rate from step `decay_steps` on.
      cycle: whether to go on for ever, each time the end is reached with a horizon of one more
        `decay_steps`, as in TensorFlow and Keras: the rate jumps up to less and less.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        left, done = _stretching(count, decay_steps) if cycle else shares(count, decay_steps)
        return between(init_value, end_value, raised(left, done, power))

    return schedule


def _stretching(count: ArrayLike, steps: ArrayLike) -> Pair:
    """The shares left and done of the shortest multiple of `steps` that is not over."""
    count = as_count(count)
    steps = jnp.maximum(jnp.asarray(steps, count.dtype), 1)
    whole, rest = jnp.divmod(count, steps)
    inside = (rest > 0) | (count == 0)
    horizon = as_float(whole + inside.astype(count.dtype)) * as_float(steps)
    left = jnp.where(inside, as_float(steps - rest) / horizon, 0.0)
    return left, jnp.where(inside, as_float(count) / horizon, 1.0)
