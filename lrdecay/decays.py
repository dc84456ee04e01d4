"""Decays: *how* the rate changes, as pure functions of a trigger's fires.

A decay is `factor(fires, since)`: `fires` is i32[], how often the trigger has fired less how often
it has taken a fire back, and `since` is i32[], the steps since it last did either (0 in the first
step that feels it). With no fires it is 1.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from lrdecay.arguments import INT32_MAX, Factor, Number, PositiveSteps, checked

Share = Annotated[ArrayLike, Number(low=0, high=1)]
Rungs = Annotated[
    Sequence[ArrayLike] | jax.Array | np.ndarray, Number(low=0, open_low=True, many=True)
]
Shape = Literal["linear", "1-sqrt", "cosine"]


@dataclasses.dataclass(frozen=True)
class Decay:
    """How the rate changes. Called as a function, it is `factor`.

    Attributes:
      factor: (fires, since) -> factor, f32[].
      most: the number of fires after which another changes nothing, and so does not count.
    """

    factor: Callable[[jax.Array, jax.Array], ArrayLike]
    most: int = INT32_MAX

    def __call__(self, fires: jax.Array, since: jax.Array) -> ArrayLike:
        """The factor after so many fires, so many steps after the last."""
        return self.factor(fires, since)


def _f32(x: ArrayLike) -> jax.Array:
    return jnp.asarray(x, jnp.float32)


def _share(since: jax.Array, steps: ArrayLike) -> jax.Array:
    """The share of a phase that is over: 0 in the step of the fire, 1 from `steps` on."""
    return jnp.minimum(since.astype(jnp.float32) / _f32(steps), 1.0)


@checked
def multiply(factor: Factor = 0.1, floor: Share = 0.0) -> Decay:
    """Each fire multiplies the rate by `factor`.

    Args:
      factor: in (0, 1]; a fire that is taken back divides by it.
      floor: the factor never falls below it.
    """

    def decay(fires: jax.Array, since: jax.Array) -> jax.Array:
        del since
        return jnp.maximum(_f32(factor) ** fires.astype(jnp.float32), _f32(floor))

    return Decay(decay)


@checked
def rungs(values: Rungs) -> Decay:
    """Each fire takes the rate one rung down a ladder, to stay on the last.

    With a base of 0.1, `rungs([0.1, 0.01, 0.001])` is the classic 0.1, then 0.01, then 0.001. Only
    the ratios to the first rung matter: `[1, 0.1, 0.01]` is the same ladder.

    Args:
      values: the rates at 0, 1, 2, ... fires, each above 0, f32[n] with n >= 1.

    Raises:
      ValueError: no rungs, or one that is not above 0.
    """
    if len(values) < 1:
        raise ValueError("values must have at least one rung, got none")

    def decay(fires: jax.Array, since: jax.Array) -> jax.Array:
        del since
        ladder = jnp.stack([_f32(v) for v in values])
        return ladder[jnp.clip(fires, 0, len(values) - 1)] / ladder[0]

    return Decay(decay, most=len(values) - 1)


@checked
def smooth_multiply(factor: Factor, steps: PositiveSteps) -> Decay:
    """Each fire multiplies the rate by `factor`, gradually: a geometric slide over some steps.

    A fire that comes before the slide of the last is over finishes that one at once.

    Args:
      factor: in (0, 1].
      steps: length of each slide.
    """

    def decay(fires: jax.Array, since: jax.Array) -> jax.Array:
        before = jnp.maximum(fires - 1, 0).astype(jnp.float32)
        slide = jnp.where(fires > 0, _share(since, steps), 0.0)
        return _f32(factor) ** (before + slide)

    return Decay(decay)


def _ramp(
    steps: ArrayLike, floor: ArrayLike, shape: Shape
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """From 1 in the step of the fire to `floor`, along a shape."""

    def factor(fires: jax.Array, since: jax.Array) -> jax.Array:
        gone = _share(since, steps)
        left = {
            "linear": lambda: 1.0 - gone,
            "1-sqrt": lambda: 1.0 - jnp.sqrt(gone),
            "cosine": lambda: jnp.sin(0.5 * np.pi * (1.0 - gone)) ** 2,
        }[shape]()
        low = _f32(floor)
        return jnp.where(fires > 0, low + (1.0 - low) * left, 1.0)

    return factor


@checked
def cooldown(steps: PositiveSteps, floor: Share = 0.0, shape: Shape = "1-sqrt") -> Decay:
    """The first fire starts one slide to the floor, where the rate stays.

    Over a constant base after a warmup it is the WSD schedule whose decay starts when training says
    so. Source: Hu et al. 2024 (WSD); Hägele et al. 2024 for 1-sqrt.

    Args:
      steps: length of the slide.
      floor: the factor at its end, in [0, 1].
      shape: with x from 0 to 1, what of the rate is left is 1 - x ("linear"), 1 - sqrt(x)
        ("1-sqrt"), or (1 + cos(pi x)) / 2 ("cosine").
    """
    return Decay(_ramp(steps, floor, shape), most=1)


@checked
def restart(steps: PositiveSteps, floor: Share = 0.0, shape: Shape = "cosine") -> Decay:
    """Each fire takes the rate back to the full base, to slide to the floor from there.

    Warm restarts (Loshchilov & Hutter 2017) whose moments a trigger chooses.

    Args:
      steps: length of each slide.
      floor: the factor at its end, in [0, 1].
      shape: as for `cooldown`.
    """
    return Decay(_ramp(steps, floor, shape))


@checked
def dip(factor: Factor, steps: PositiveSteps) -> Decay:
    """Each fire cuts the rate by `factor`, and a straight ramp takes it back to the base.

    For a passing trouble such as a divergence.

    Args:
      factor: what the rate is multiplied by in the step of the fire, in (0, 1].
      steps: length of the ramp.
    """

    def decay(fires: jax.Array, since: jax.Array) -> jax.Array:
        low = _f32(factor)
        return jnp.where(fires > 0, low + (1.0 - low) * _share(since, steps), 1.0)

    return Decay(decay)
