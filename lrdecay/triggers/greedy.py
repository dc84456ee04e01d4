"""Greedy: lowers the rate on worsenings and raises it on improvements."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import Count, CountOrZero, NonNegative, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, watch
from lrdecay.triggers.trend import none


class GreedyState(NamedTuple):
    """State of the rule of `greedy`.

    Attributes:
      best: best value so far, f32[]; infinite before the first.
      good: observations in a row that were an improvement, i32[].
      bad: observations in a row that were none, i32[].
      rest: observations left in which nothing counts, i32[].
      level: fires less fires taken back, i32[].
    """

    best: jax.Array
    good: jax.Array
    bad: jax.Array
    rest: jax.Array
    level: jax.Array


@checked
def greedy(
    patience: Count = 10,
    rtol: NonNegative = 0.0,
    atol: NonNegative = 1e-6,
    cooldown: CountOrZero = 0,
    warmup: CountOrZero = 0,
    cuts: CountOrZero = 100,
    raises: CountOrZero = 10,
    window: Count = 1,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> Trigger:
    """Fires after `patience` worsenings in a row, and takes a fire back after as many improvements.

    The rate goes both ways, under `multiply(factor)` up to `factor ** -raises` and down to
    `factor ** cuts` (GreedyLR, Subramanian & Ganapathiraman 2023, arXiv:2512.14527). Nothing counts
    in a `cooldown` or `warmup`, and the best stays what it was. Transformers' `patience=n` is
    `patience=n + 1` here.

    Args:
      patience: observations in a row that improve on the best, or that do not, at least 1.
      rtol: relative margin of an improvement.
      atol: absolute margin of an improvement.
      cooldown: observations after each fire in which nothing counts.
      warmup: observations after each fire taken back in which nothing counts.
      cuts: the most fires, less those taken back, that there can be.
      raises: the most fires taken back, less those there were.
      window: observations averaged into one, block by block; all else counts blocks.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start whose observations are not looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range, or an unknown mode.
    """
    sign = 1.0 if mode == "min" else -1.0

    def init() -> GreedyState:
        best = jnp.asarray(sign * jnp.inf, jnp.float32)
        return GreedyState(best, none(), none(), none(), none())

    def update(
        state: GreedyState, value: jax.Array, resting: jax.Array
    ) -> tuple[GreedyState, jax.Array, tuple[jax.Array, jax.Array]]:
        del resting
        counts = state.rest == 0
        scale = jnp.where(jnp.isfinite(state.best), jnp.abs(state.best), 0.0)
        margin = jnp.asarray(rtol, jnp.float32) * scale + jnp.asarray(atol, jnp.float32)
        better = counts & (sign * value < sign * state.best - margin)
        good = jnp.where(better, state.good + 1, 0)
        bad = jnp.where(counts & ~better, state.bad + 1, 0)
        up, down = good >= patience, bad >= patience
        wanted = state.level + down.astype(jnp.int32) - up.astype(jnp.int32)
        level = jnp.clip(wanted, -jnp.asarray(raises, jnp.int32), jnp.asarray(cuts, jnp.int32))
        rest = jnp.where(
            down,
            jnp.asarray(cooldown, jnp.int32),
            jnp.where(up, jnp.asarray(warmup, jnp.int32), jnp.maximum(state.rest - 1, 0)),
        )
        after = GreedyState(
            best=jnp.where(better, value, state.best),
            good=jnp.where(up, 0, good),
            bad=jnp.where(down, 0, bad),
            rest=rest,
            level=level,
        )
        return after, level - state.level, (state.best, jnp.maximum(good, bad))

    return watch(
        monitor,
        init,
        update,
        reason=Reason.GREEDY,
        window=window,
        grace=grace,
        restarts=False,
    )
