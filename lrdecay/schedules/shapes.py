"""Shapes: how the weight goes over from a phase's first value to its last.

A `Weights` function maps the shares of the phase that are left and done, which add up to 1, to the
weights of the two values, which do so too. All four are accurate where they are small, so that a
rate close to 0 has the relative accuracy of any other.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from lrdecay.schedules.clock import as_float, shares

Pair = tuple[jax.Array, jax.Array]
Weights = Callable[[jax.Array, jax.Array], Pair]
Shape = (
    Literal["linear", "cosine", "1-sqrt", "power", "exponential"] | Callable[[jax.Array], jax.Array]
)


def linear(left: jax.Array, done: jax.Array) -> Pair:
    """A straight line."""
    return left, done


def cosine(left: jax.Array, done: jax.Array) -> Pair:
    """Half a cosine wave, with sin^2 in place of 1 + cos, which cancels."""
    return jnp.sin(0.5 * np.pi * left) ** 2, jnp.sin(0.5 * np.pi * done) ** 2


def wave(odd: jax.Array, offset: jax.Array) -> Pair:
    """A cosine wave at an offset, in [-1/2, 1/2] half waves, from a turning point, odd or even."""
    first, last = cosine(offset, 1.0 - jnp.abs(offset))
    return jnp.where(odd, first, last), jnp.where(odd, last, first)


def raised(x: jax.Array, rest: jax.Array, exponent: ArrayLike) -> Pair:
    """`x ** exponent` and 1 minus it, for `x + rest = 1`."""
    exponent = as_float(exponent)
    inside = jnp.where(x > 0.0, x, 1.0)
    log = jnp.where(rest < 0.5, jnp.log1p(-jnp.minimum(rest, 0.5)), jnp.log(inside))
    return x**exponent, jnp.where(x > 0.0, -jnp.expm1(exponent * log), 1.0)


def power(exponent: ArrayLike) -> Weights:
    """1 - x ** exponent, of the share x that is done."""

    def weights(left: jax.Array, done: jax.Array) -> Pair:
        last, first = raised(done, left, exponent)
        return first, last

    return weights


def exponential(ratio: ArrayLike) -> Weights:
    """A fall to `ratio` at a constant relative speed, stretched to end at 0."""

    def weights(left: jax.Array, done: jax.Array) -> Pair:
        log = jnp.log(as_float(ratio))
        return jnp.expm1(-log * left) / jnp.expm1(-log), jnp.expm1(log * done) / jnp.expm1(log)

    return weights


def tanh(lower: ArrayLike, upper: ArrayLike) -> Weights:
    """1 - tanh between two arguments, stretched to go from 1 to 0.

    Written with tanh a - tanh b = sinh(a - b) / (cosh a cosh b), in exponentials that cannot
    overflow.
    """

    def sinh_share(share: jax.Array, span: jax.Array) -> jax.Array:
        return jnp.expm1(-2.0 * span * share) / jnp.expm1(-2.0 * span)

    def weights(left: jax.Array, done: jax.Array) -> Pair:
        low, high = as_float(lower), as_float(upper)
        span = high - low
        # From the nearer end, so that neither argument loses its small difference to that end.
        x = jnp.where(done < 0.5, low + span * done, high - span * left)

        def cosh_ratio(end: jax.Array, gone: jax.Array) -> jax.Array:
            scale = jnp.exp(jnp.abs(end) - jnp.abs(x) - span * gone)
            return scale * (1.0 + jnp.exp(-2.0 * jnp.abs(end))) / (1.0 + jnp.exp(-2.0 * jnp.abs(x)))

        return (
            sinh_share(left, span) * cosh_ratio(low, done),
            sinh_share(done, span) * cosh_ratio(high, left),
        )

    return weights


def weights_of(shape: Shape, exponent: ArrayLike = 2.0, ratio: ArrayLike = 0.1) -> Weights:
    """The weights that a word or a function stands for.

    Args:
      shape: a word, or a function from the share that is done, in [0, 1], to the first value's
        weight: 1 at 0, and 0 at 1.
      exponent: of "power".
      ratio: of "exponential".
    """
    if callable(shape):
        function = shape

        def weights(left: jax.Array, done: jax.Array) -> Pair:
            del left
            first = as_float(function(done))
            return first, 1.0 - first

        return weights
    return {
        "linear": linear,
        "cosine": cosine,
        "1-sqrt": power(0.5),
        "power": power(exponent),
        "exponential": exponential(ratio),
    }[shape]


def backwards(weights: Weights) -> Weights:
    """The same shape run from its end to its start: a climb out of a fall."""

    def reverse(left: jax.Array, done: jax.Array) -> Pair:
        first, last = weights(done, left)
        return last, first

    return reverse


def between(first: ArrayLike, last: ArrayLike, weights: Pair) -> jax.Array:
    """The mean of two values with these weights."""
    return as_float(first) * weights[0] + as_float(last) * weights[1]


def phase(
    first: ArrayLike, last: ArrayLike, steps: ArrayLike, weights: Weights = linear
) -> Callable[[ArrayLike], jax.Array]:
    """The schedule from one value to another in `steps` steps, to stay there."""
    return lambda count: between(first, last, weights(*shares(count, steps)))
