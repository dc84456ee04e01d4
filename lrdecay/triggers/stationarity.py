"""Stationarity: the norm of the parameters has found its level."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrdecay.arguments import Count, CountOrZero, NonNegative, Steps, checked
from lrdecay.triggers.protocol import Reason, Trigger, select, watch
from lrdecay.triggers.trend import (
    POINTS,
    Points,
    distance,
    mean_and_error,
    no_points,
    none,
    push,
    zero,
)


class StationarityState(NamedTuple):
    """State of the rule of `stationarity`.

    Attributes:
      start: norm at the start of the window, f32[].
      filled: observations since then, i32[]; -1 before the first.
      changes: changes of the squared norm in the last windows.
    """

    start: jax.Array
    filled: jax.Array
    changes: Points


@checked
def stationarity(
    window: Count = 100,
    z: NonNegative = 2.0,
    cooldown: CountOrZero = 0,
    monitor: str = "param_norm",
    grace: Steps = 0,
) -> Trigger:
    """Fires when the squared norm of the parameters changes no more than chance would have it.

    SASA and SASA+ (Lang, Xiao & Zhang 2019; Zhang et al. 2020) test whether
    `<x, d> - (lr / 2) |d|^2` has mean 0 for updates `x' = x - lr d`, as it must where x is
    stationary. Since `|x'|^2 = |x|^2 - 2 lr <x, d> + lr^2 |d|^2`, that is
    `(|x|^2 - |x'|^2) / (2 lr)` in every step, whatever made d: at a constant rate the norm is all
    that it needs. In the mean of a window all but its two ends cancel, so that changes from end to
    end are the batch means of SASA+.

    It fires when the mean change over the last 10 windows is within `z` standard errors of 0. That
    is no proof of stationarity, only the lack of a sign against it (9 degrees of freedom; z = 2.3
    for 95 %): windows too short to see a drift fire early. A norm that drifts while the loss is
    flat, as with weight decay and normalisation, keeps it from firing. float32 sees changes of the
    norm by 1e-7 of it, and a window should move it by more.

    Args:
      window: observations in each of the 10 windows.
      z: standard errors from 0 within which the mean change counts as none.
      cooldown: observations after each fire that are not looked at.
      monitor: the norm; "param_norm" comes with every update.
      grace: steps at the start whose observations are not looked at.

    Raises:
      TypeError, ValueError: a number of the wrong kind or out of range.
    """

    def init() -> StationarityState:
        return StationarityState(zero(), none() - 1, no_points())

    def update(
        state: StationarityState, value: jax.Array, resting: jax.Array
    ) -> tuple[StationarityState, jax.Array, tuple[jax.Array, jax.Array]]:
        del resting
        filled = state.filled + 1
        full = filled >= window
        change = distance(value, state.start) * distance(value, -state.start)
        changes = push(state.changes, distance(change, zero()))
        mean, error = mean_and_error(changes.values)
        still = jnp.abs(mean) <= jnp.asarray(z, jnp.float32) * error
        begun = StationarityState(jnp.where(filled == 0, value, state.start), filled, state.changes)
        done = StationarityState(value, jnp.zeros_like(filled), changes)
        fires = full & (changes.count >= POINTS) & still
        return select(full, done, begun), fires, (mean, error)

    return watch(monitor, init, update, reason=Reason.STATIONARITY, cooldown=cooldown, grace=grace)
