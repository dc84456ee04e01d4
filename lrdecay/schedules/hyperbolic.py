"""Falls along hyperbolas and hyperbolic functions."""

from typing import Annotated

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay.arguments import NonNegative, Number, Positive, PositiveSteps, Steps, checked
from lrdecay.schedules import shapes
from lrdecay.schedules.base import Schedule, concrete
from lrdecay.schedules.clock import as_float, shares
from lrdecay.schedules.shapes import Pair, between, phase

# Beyond these, tanh is flat in any precision.
TanhArgument = Annotated[ArrayLike, Number(low=-50, high=50)]


@checked
def rex(init_value: NonNegative, decay_steps: Steps, end_value: NonNegative = 0.0) -> Schedule:
    """`(1 - x) / (1 - x / 2)` of the share x that is done: slow at first, then fast.

    Source: Chen, Wolfe & Kyrillidis 2022 (REX).

    Args:
      init_value: rate at step 0.
      decay_steps: length of the decay in steps.
      end_value: rate from step `decay_steps` on.
    """

    def weights(left: jax.Array, done: jax.Array) -> Pair:
        return 2.0 * left / (1.0 + left), done / (1.0 + left)

    return phase(init_value, end_value, decay_steps, weights)


@checked
def tanh(
    init_value: NonNegative,
    decay_steps: Steps,
    lower: TanhArgument = -7.0,
    upper: TanhArgument = 3.0,
    end_value: NonNegative = 0.0,
) -> Schedule:
    """A fall along 1 - tanh, from the argument `lower` to `upper`.

    Stretched so that both ends are exact; the original starts 1e-6 below `init_value` and ends
    0.0025 of the way above `end_value`. Source: Hsueh, Li & Wu 2019.

    Args:
      init_value: rate at step 0.
      decay_steps: length of the decay in steps.
      lower: argument at step 0, in [-50, 50].
      upper: argument at the end, above `lower` and in [-50, 50].
      end_value: rate from step `decay_steps` on.

    Raises:
      ValueError: `upper` is not above `lower`.
    """
    if len(known := concrete(lower, upper)) == 2 and known[1] <= known[0]:
        raise ValueError(f"upper must be above the {lower} of lower, got {upper}")
    return phase(init_value, end_value, decay_steps, shapes.tanh(lower, upper))


@checked
def hyperbolic(
    init_value: NonNegative,
    decay_steps: PositiveSteps,
    upper_bound: PositiveSteps,
    infimum_value: NonNegative = 0.0,
) -> Schedule:
    """A hyperbola whose first steps hardly depend on how long the run is.

    `init_value + (init_value - infimum_value) * (h(t) - h(0))` with `h(t) = sqrt((N - t) / U *
    (2 - (N + t) / U))`, where N is `decay_steps` and U `upper_bound`. Source: Kim 2024
    (HyperbolicLR).

    Args:
      init_value: rate at step 0.
      decay_steps: steps after which the rate stays where it is.
      upper_bound: the longest run thought of, in steps; where `decay_steps` is shorter, the end is
        above `infimum_value`. Values below `decay_steps` act as `decay_steps`.
      infimum_value: rate at the end of the longest run, at most `init_value`.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        return between(init_value, infimum_value, _hyperbola(count, decay_steps, upper_bound))

    return schedule


@checked
def exp_hyperbolic(
    init_value: Positive,
    decay_steps: PositiveSteps,
    upper_bound: PositiveSteps,
    infimum_value: Positive = 1e-6,
) -> Schedule:
    """`hyperbolic` for the logarithm of the rate. Source: Kim 2024 (ExpHyperbolicLR).

    Args:
      init_value: rate at step 0, above 0.
      decay_steps: steps after which the rate stays where it is.
      upper_bound: the longest run thought of, in steps. Values below `decay_steps` act as
        `decay_steps`.
      infimum_value: rate at the end of the longest run, above 0.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        first, last = _hyperbola(count, decay_steps, upper_bound)
        return as_float(init_value) ** first * as_float(infimum_value) ** last

    return schedule


def _hyperbola(count: ArrayLike, steps: ArrayLike, bound: ArrayLike) -> Pair:
    """1 - h(0) + h(t), and h(0) - h(t), without their cancellations."""
    left, done = shares(count, steps)
    part = as_float(steps) / jnp.maximum(as_float(bound), as_float(steps))
    start = jnp.sqrt(part * (2.0 - part))
    now = jnp.sqrt(part * left * (2.0 - part * (1.0 + done)))
    gone = part * done
    return (1.0 - part) ** 2 / (1.0 + start) + now, gone * (2.0 - gone) / (start + now)
