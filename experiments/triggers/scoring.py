"""False alarms and delays of a family of triggers, over its whole range of sensitivity at once."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from experiments.triggers.families import Family
from experiments.triggers.histories import HORIZON, LENGTH, Histories
from lrdecay.triggers import Observation

# The share of runs of LENGTH observations in which a calibrated trigger fires though it should not.
ALARM_SHARE = 0.1
NEVER = LENGTH


class Fires(NamedTuple):
    """When a family fires, f[..., settings, replicates].

    Attributes:
      early: whether it fires before the change point, bool.
      first: the index of the first fire from the change point on, i32; NEVER where there is none.
    """

    early: np.ndarray
    first: np.ndarray


class Share(NamedTuple):
    """A share of replicates, with its 95 % interval (Wilson)."""

    value: float
    low: float
    high: float


class Delay(NamedTuple):
    """Delays of the replicates without a fire before the change; a miss counts as HORIZON.

    Attributes:
      mean: mean delay, in observations.
      low: lower end of its 95 % interval.
      high: upper end.
      p90: the delay that nine in ten stay within.
      missed: share of those replicates without a fire within HORIZON.
      early: share of all replicates with a fire before the change.
      n: replicates without one.
    """

    mean: float
    low: float
    high: float
    p90: float
    missed: Share
    early: Share
    n: int


class Result(NamedTuple):
    """What is known of one setting of a family.

    Attributes:
      setting: the value of its parameter.
      false_alarms: share of runs with a fire, by the scenario in which every fire is false.
      delays: delays by the scenario in which something happens; None where they cannot be told.
    """

    setting: float
    false_alarms: dict[str, Share]
    delays: dict[str, Delay | None]


def first_fires(
    make: Callable[..., Any], mode: str, settings: jax.Array, histories: Histories
) -> tuple[jax.Array, jax.Array]:
    """`Fires` of triggers with these settings: all settings and replicates in one scan."""

    def one(
        setting: jax.Array, values: jax.Array, change: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        trigger = make(setting, mode)

        def step(carry: tuple[Any, ...], at: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
            state, early, first = carry
            index, value = at
            finite = jnp.isfinite(value)
            seen = Observation(jnp.where(finite, value, 0.0), finite, 1 - finite.astype(jnp.int32))
            state, verdict = trigger.update(state, index, {"value": seen})
            fires = verdict.change > 0
            early |= fires & (index < change)
            first = jnp.where(fires & (index >= change), jnp.minimum(first, index), first)
            return (state, early, first), None

        indices = jnp.arange(LENGTH, dtype=jnp.int32)
        start = (trigger.init(), jnp.array(False), jnp.int32(NEVER))
        (_, early, first), _ = jax.lax.scan(step, start, (indices, values))
        return early, first

    each_history = jax.vmap(one, in_axes=(None, 0, 0))
    return jax.vmap(each_history, in_axes=(0, None, None))(settings, *histories)


@functools.lru_cache
def compiled(family: Family, mode: str) -> Callable[[jax.Array, Histories], tuple[Any, Any]]:
    return jax.jit(functools.partial(first_fires, family.make, mode))


def fires(family: Family, settings: np.ndarray, histories: Histories, mode: str = "min") -> Fires:
    early, first = compiled(family, mode)(jnp.asarray(settings), histories)
    return Fires(np.asarray(early), np.asarray(first))


def alarm_shares(family: Family, settings: np.ndarray, histories: Histories) -> np.ndarray:
    """The share of runs with a false alarm, by setting."""
    return fires(family, settings, histories).early.mean(axis=-1)


def calibrate(family: Family, histories: Histories) -> Any:
    """The most sensitive setting whose false alarms stay within ALARM_SHARE, on these histories.

    Two passes: over the whole range, and between the two settings where the share is crossed. None
    where even the least sensitive setting has too many.
    """
    settings = family.settings
    for _ in range(2):
        shares = alarm_shares(family, settings, histories)
        # Sensitivity falls along the settings: all from here on are within the share.
        tail = np.maximum.accumulate(shares[::-1])[::-1]
        if tail[-1] > ALARM_SHARE:
            return None
        chosen = int(np.argmax(tail <= ALARM_SHARE))
        best = settings[chosen]
        settings = family.between(settings[max(chosen - 1, 0)], best)
    return best


def share(hits: np.ndarray) -> Share:
    result = scipy.stats.binomtest(int(hits.sum()), hits.size)
    interval = result.proportion_ci(method="wilson")
    return Share(float(result.statistic), float(interval.low), float(interval.high))


def delay(found: Fires, change: np.ndarray) -> Delay | None:
    """The delays of one setting, `found` being bool[replicates] and i32[replicates].

    None where fewer than 20 replicates have no fire before the change.
    """
    kept = ~found.early
    if kept.sum() < 20:
        return None
    waited = np.minimum(found.first - change, HORIZON)[kept].astype(np.float64)
    half = scipy.stats.norm.ppf(0.975) * waited.std(ddof=1) / np.sqrt(waited.size)
    return Delay(
        mean=float(waited.mean()),
        low=float(waited.mean() - half),
        high=float(waited.mean() + half),
        p90=float(np.quantile(waited, 0.9)),
        missed=share(waited >= HORIZON),
        early=share(found.early),
        n=int(kept.sum()),
    )
