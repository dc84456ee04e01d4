"""Arithmetic of steps. Steps are subtracted and divided as whole numbers, and only the small result
becomes a float: float32 counts to 2^24 alone.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def as_float(x: ArrayLike) -> jax.Array:
    """A number in the default float type."""
    return jnp.asarray(x, jnp.result_type(float))


def as_count(count: ArrayLike) -> jax.Array:
    """A step as int32, or as a float where a clock runs in between steps; never below 0."""
    count = jnp.maximum(jnp.asarray(count), 0)
    return count.astype(jnp.int32) if jnp.issubdtype(count.dtype, jnp.integer) else as_float(count)


def since(count: ArrayLike, begin: ArrayLike) -> jax.Array:
    """Steps since `begin`, 0 before it."""
    count = as_count(count)
    return jnp.maximum(count - jnp.asarray(begin, count.dtype), 0)


def shares(count: ArrayLike, steps: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """The shares of a phase that are left and done: (1, 0) at its start, (0, 1) from its end on.

    Each is accurate where it is small, which 1 minus the other would not be.
    """
    count = as_count(count)
    steps = jnp.asarray(steps, count.dtype)
    over = count >= steps
    length = as_float(jnp.where(over, 1, steps))
    left = jnp.where(over, 0.0, as_float(steps - count) / length)
    done = jnp.where(over, 1.0, as_float(count) / length)
    return left, done


def whole_and_part(count: ArrayLike, steps: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """count / steps as a whole number and a remainder in [0, 1), both accurate at large counts."""
    count = as_count(count)
    steps = jnp.asarray(steps, count.dtype)
    whole, rest = jnp.divmod(count, steps)
    return as_float(whole), as_float(rest) / as_float(steps)


def half_waves(count: ArrayLike, steps: ArrayLike, waves: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """The position on a wave that goes `waves` times up or down in `steps` steps, endlessly.

    Returns:
      Whether the nearest turning point is an odd one, and how far from it, in half waves in
      [-1/2, 1/2].
    """
    count, waves = as_count(count), as_float(waves)
    steps = jnp.asarray(steps, count.dtype)
    turns, rest = jnp.divmod(count, steps)
    whole = jnp.round(waves).astype(count.dtype)
    nearest = jnp.round(as_float(whole) * (as_float(rest) / as_float(steps))).astype(count.dtype)
    # These products may wrap round in int32; their difference, at most half of `steps`, does not.
    offset = as_float(whole * rest - nearest * steps) / as_float(steps)
    offset += (waves - as_float(whole)) * (as_float(turns) + as_float(rest) / as_float(steps))
    further = jnp.round(offset)
    odd = (whole * turns + nearest + further.astype(count.dtype)) % 2 == 1
    return odd, offset - further


def cycle(
    count: ArrayLike, steps: ArrayLike, growth: ArrayLike
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The cycle that a step is in, where cycle i takes `steps * growth ** i` steps, whole or not.

    In float32 the place within a cycle is known to 1e-7 / (growth - 1), or exactly where growth is
    whole and the step below 2^24.

    Returns:
      The cycle's index from 0, and the shares of it that are left and done.
    """
    count = as_count(count)
    equal_index, rest = jnp.divmod(count, jnp.asarray(steps, count.dtype))
    equal_left, equal_done = shares(rest, steps)

    growing = as_float(growth) > 1.0
    ratio = jnp.where(growing, as_float(growth), 2.0)
    first, time = as_float(steps), as_float(count)

    def begin(index: jax.Array) -> jax.Array:
        return first * ((ratio**index - 1.0) / (ratio - 1.0))

    # The logarithm may be one off where a cycle begins.
    index = jnp.floor(jnp.log1p(time / first * (ratio - 1.0)) / jnp.log(ratio))
    late = time * (1.0 + 4.0 * jnp.finfo(time.dtype).eps)
    index += (begin(index + 1.0) <= late).astype(time.dtype)
    index -= (begin(index) > late).astype(time.dtype)
    length = first * ratio**index
    left = jnp.clip((begin(index + 1.0) - time) / length, 0.0, 1.0)
    done = jnp.clip((time - begin(index)) / length, 0.0, 1.0)
    return (
        jnp.where(growing, index, as_float(equal_index)),
        jnp.where(growing, left, equal_left),
        jnp.where(growing, done, equal_done),
    )
