"""Seeded noise on a schedule."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay.arguments import CountOrZero, Factor, Positive, checked
from lrdecay.schedules.base import RateOrSchedule, Schedule, floats
from lrdecay.schedules.clock import as_count, as_float


@checked
def noisy(
    schedule: RateOrSchedule, std: Positive = 1.0, limit: Factor = 0.67, seed: CountOrZero = 0
) -> Schedule:
    """A schedule times 1 plus noise, which depends on the seed and the step alone.

    The noise is normal, drawn anew where it is beyond the limit. With `std` far above `limit` it is
    uniform. For noise in a part of the run only, `join` the parts.

    Args:
      schedule: the schedule, or a number.
      std: standard deviation of the noise before the limit, relative to the rate.
      limit: largest noise, relative to the rate, in (0, 1].
      seed: chooses the noise.
    """
    inner = floats(schedule)

    def draw(step: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.key(seed), step)
        bound = as_float(limit) / as_float(std)
        noise = as_float(std) * jax.random.truncated_normal(key, -bound, bound, dtype=bound.dtype)
        return jnp.clip(noise, -as_float(limit), as_float(limit))

    def schedule_with_noise(count: ArrayLike) -> jax.Array:
        noise = jnp.vectorize(draw)(as_count(count).astype(jnp.int32))
        return inner(count) * (1.0 + noise)

    return schedule_with_noise
