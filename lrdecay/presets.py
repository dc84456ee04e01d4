"""Ready-made loss-aware schedules: a base, a trigger and a decay that go together."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from optax.schedules import StatefulSchedule

from lrdecay import decays
from lrdecay.arguments import (
    Count,
    CountOrZero,
    Factor,
    NonNegative,
    Positive,
    PositiveSteps,
    Steps,
    checked,
)
from lrdecay.decays import Decay, Shape, Share
from lrdecay.loss_aware_schedule import LossAware, loss_aware
from lrdecay.schedules import RateOrSchedule
from lrdecay.triggers.greedy import greedy as greedy_trigger
from lrdecay.triggers.plateau import plateau
from lrdecay.triggers.stall import stall


@checked
def auto(
    peak: RateOrSchedule,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> LossAware:
    """The peak, times 0.4 whenever doubling the run gains less than its noise: `stall`.

    For somebody who gives a peak rate and no horizon. It sees the training loss of every step,
    looks after 160, 480, 1120, ... observations, and so cuts once at most while their number
    doubles. Without progress the rate ends at a thousandth of the peak. Where the horizon is known,
    a cosine is as good or better: in experiments/auto by nothing on digits, a point of accuracy on
    Fashion-MNIST, and three points in a run that ended before the second look.

    Args:
      peak: the rate to begin with, or a schedule such as a warmup to it.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start in which nothing is looked at, such as a warmup.
    """
    when = stall(mode=mode, monitor=monitor, grace=grace)
    return loss_aware(peak, when=when, how=decays.multiply(0.4, floor=1e-3))


@checked
def reduce_on_plateau(
    base: RateOrSchedule | StatefulSchedule,
    factor: Factor = 0.1,
    patience: Count = 10,
    rtol: NonNegative = 1e-4,
    atol: NonNegative = 0.0,
    cooldown: CountOrZero = 0,
    window: Count = 1,
    floor: Share = 0.0,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> LossAware:
    """The base, multiplied by `factor` on each plateau: `plateau` with `multiply`.

    Args:
      base: a number, an Optax schedule, or a stateful schedule.
      factor: as for `multiply`, and `floor`.
      patience: as for `plateau`, and everything else.
      rtol: relative margin of an improvement.
      atol: absolute margin of an improvement.
      cooldown: observations after each fire in which none counts as bad.
      window: observations averaged into one.
      floor: the factor never falls below it.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start in which nothing is looked at.
    """
    when = plateau(patience, rtol, atol, cooldown, window, mode, monitor, grace)
    return loss_aware(base, when=when, how=decays.multiply(factor, floor))


@checked
def cooldown_on_plateau(
    base: RateOrSchedule | StatefulSchedule,
    steps: PositiveSteps,
    patience: Count = 10,
    rtol: NonNegative = 1e-4,
    atol: NonNegative = 0.0,
    window: Count = 1,
    floor: Share = 0.0,
    shape: Shape = "1-sqrt",
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> LossAware:
    """The base, until the first plateau, and from there one slide: `plateau` with `cooldown`.

    Over a constant rate after a warmup, it is a warmup-stable-decay schedule that needs no horizon.

    Args:
      base: a number, an Optax schedule, or a stateful schedule.
      steps: length of the slide, as for `cooldown`, and `floor` and `shape`.
      patience: as for `plateau`, and everything else.
      rtol: relative margin of an improvement.
      atol: absolute margin of an improvement.
      window: observations averaged into one.
      floor: the factor at the end of the slide.
      shape: "linear", "1-sqrt" or "cosine".
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start in which nothing is looked at.
    """
    when = plateau(patience, rtol, atol, 0, window, mode, monitor, grace)
    return loss_aware(base, when=when, how=decays.cooldown(steps, floor, shape))


def _steps_to(limit: ArrayLike, factor: ArrayLike) -> jax.Array:
    """How often to multiply by `factor` until 1 has come to `limit` or below, i32[]."""
    away, step = (-jnp.log(jnp.asarray(x, jnp.float32)) for x in (limit, factor))
    steps = jnp.ceil(away / jnp.maximum(step, 1e-30) - 1e-3)  # a whole power is met, not passed
    return jnp.clip(steps, 0, 10**6).astype(jnp.int32)


@checked
def greedy(
    base: RateOrSchedule | StatefulSchedule,
    factor: Factor = 0.95,
    patience: Count = 10,
    low: Share = 0.01,
    high: Positive = 2.0,
    rtol: NonNegative = 0.0,
    atol: NonNegative = 1e-6,
    cooldown: CountOrZero = 0,
    warmup: CountOrZero = 0,
    window: Count = 1,
    mode: Literal["min", "max"] = "min",
    monitor: str = "value",
    grace: Steps = 0,
) -> LossAware:
    """The base, lowered on worsenings and raised on improvements: the trigger `greedy`.

    The rate is the base times a power of `factor`, cut off at `low` and `high`: after a raise and
    a cut it is what it was before.

    Args:
      base: a number, an Optax schedule, or a stateful schedule.
      factor: what a cut multiplies by, and a raise divides by.
      patience: as for the trigger, and everything else.
      low: smallest share of the base.
      high: largest multiple of the base; one below 1 is taken as 1.
      rtol: relative margin of an improvement.
      atol: absolute margin of an improvement.
      cooldown: observations after each cut in which nothing counts.
      warmup: observations after each raise in which nothing counts.
      window: observations averaged into one.
      mode: "min" where lower is better, "max" where higher is.
      monitor: name of the metric.
      grace: steps at the start in which nothing is looked at.
    """
    top = jnp.maximum(jnp.asarray(high, jnp.float32), 1.0)
    cuts, raises = _steps_to(low, factor), _steps_to(1.0 / top, factor)
    when = greedy_trigger(
        patience, rtol, atol, cooldown, warmup, cuts, raises, window, mode, monitor, grace
    )

    def how(fires: jax.Array, since: jax.Array) -> jax.Array:
        power = decays.multiply(factor)(fires, since)
        return jnp.clip(power, jnp.asarray(low, jnp.float32), top)

    return loss_aware(base, when=when, how=Decay(how))
