"""Schedules in phases: a climb, a plain, a fall."""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay.arguments import NonNegative, Number, Positive, Steps, checked
from lrdecay.schedules import shapes
from lrdecay.schedules.base import RateOrSchedule, Schedule, floats
from lrdecay.schedules.clock import as_count, as_float, shares, since
from lrdecay.schedules.compose import join
from lrdecay.schedules.shapes import Shape, between, phase

AtLeastOne = Annotated[ArrayLike, Number(low=1)]
Ratio = Annotated[ArrayLike, Number(low=0, high=1, open_low=True, open_high=True)]


@checked
def warmup(
    schedule: RateOrSchedule,
    warmup_steps: Steps,
    init_value: NonNegative = 0.0,
    shape: Shape = "linear",
) -> Schedule:
    """A climb to the first value of `schedule`, which then runs on its own clock.

    The total length is `warmup_steps` plus that of `schedule`. With no warmup steps it is
    `schedule` itself. Source: Goyal et al. 2017, section 2.2.

    Args:
      schedule: what follows the warmup. For a loss-aware schedule, warm up its base instead:
        `loss_aware(warmup(base, steps), when=..., how=...)`.
      warmup_steps: length of the climb in steps.
      init_value: rate at step 0.
      shape: the climb, which is the cooldown of that name in `wsd` run backwards: "exponential"
        grows tenfold, "power" is a parabola, and a function maps the share of the climb that is
        left to the weight of the peak.

    Raises:
      TypeError: `schedule` is loss-aware, so that it has no first value to climb to.
      ValueError: an unknown shape.
    """
    after = floats(schedule)
    weights = shapes.backwards(shapes.weights_of(shape))

    def climb(count: ArrayLike) -> jax.Array:
        return phase(init_value, after(0), warmup_steps, weights)(count)

    return join([climb, after], [warmup_steps])


def untuned_warmup_steps(b2: float = 0.999) -> int:
    """The length of a linear warmup for Adam that needs no tuning: `2 / (1 - b2)` steps.

    Source: Ma & Yarats 2021.

    Args:
      b2: Adam's decay rate of the second moment, in [0, 1); not traced.
    """
    Number(low=0, high=1, open_high=True).check("b2", b2)
    return round(2.0 / (1.0 - b2))


@checked
def wsd(
    stable: RateOrSchedule,
    stable_steps: Steps,
    decay_steps: Steps,
    warmup_steps: Steps = 0,
    init_value: NonNegative = 0.0,
    end_value: NonNegative = 0.0,
    shape: Shape = "1-sqrt",
    exponent: Positive = 2.0,
    ratio: Ratio = 0.1,
) -> Schedule:
    """Warmup, stable phase, and a cooldown to `end_value`: the trapezoid.

    A stable phase that falls by itself goes on falling under the cooldown. Sources: Hu et al. 2024
    (MiniCPM), Hägele et al. 2024 (the cooldown 1-sqrt), Zhai et al. 2022 (inverse square root with
    a linear cooldown).

    Args:
      stable: the rate of the stable phase, or a schedule for it, such as `inverse_sqrt`.
      stable_steps: length of the stable phase in steps.
      decay_steps: length of the cooldown in steps.
      warmup_steps: length of a linear climb in front of all that.
      init_value: rate at step 0, where there is a warmup.
      end_value: rate from the end of the cooldown on.
      shape: the cooldown, in the share x of it that is done: "linear" 1 - x, "1-sqrt", "cosine",
        "power" 1 - x ** exponent, "exponential" (ratio ** x - ratio) / (1 - ratio), or a function
        of x that is 1 at 0 and 0 at 1.
      exponent: of the shape "power", above 0.
      ratio: of the shape "exponential", in (0, 1).

    Raises:
      ValueError: an unknown shape.
    """
    plain = floats(stable, "stable")
    weights = shapes.weights_of(shape, exponent, ratio)

    def cooled(count: ArrayLike) -> jax.Array:
        count = as_count(count)
        rate = plain(count)
        ended = shares(since(count, stable_steps), decay_steps)
        falling = between(rate, end_value, weights(*ended))
        return jnp.where(count < jnp.asarray(stable_steps, count.dtype), rate, falling)

    return warmup(cooled, warmup_steps, init_value)


@checked
def flat_cosine(
    init_value: NonNegative, flat_steps: Steps, decay_steps: Steps, end_value: NonNegative = 0.0
) -> Schedule:
    """A constant rate, then half a cosine wave, as in fastai's `fit_flat_cos`.

    Args:
      init_value: rate of the flat part.
      flat_steps: length of the flat part in steps.
      decay_steps: length of the half wave in steps.
      end_value: rate from its end on.
    """
    return wsd(init_value, flat_steps, decay_steps, end_value=end_value, shape="cosine")


@checked
def knee(
    peak_value: NonNegative,
    hold_steps: Steps,
    decay_steps: Steps,
    warmup_steps: Steps = 0,
    end_value: NonNegative = 0.0,
) -> Schedule:
    """A high rate held for long, to find a wide minimum, then a straight line down.

    Source: Iyer et al. 2023 (Knee schedule), who hold it for half of the run.

    Args:
      peak_value: rate that is held.
      hold_steps: how long, in steps.
      decay_steps: length of the line in steps.
      warmup_steps: length of a linear climb from 0 in front of all that.
      end_value: rate from the end of the line on.
    """
    return wsd(
        peak_value, hold_steps, decay_steps, warmup_steps, end_value=end_value, shape="linear"
    )


@checked
def tri_stage(
    peak_value: Positive,
    end_value: Positive,
    warmup_steps: Steps,
    hold_steps: Steps,
    decay_steps: Steps,
    init_value: NonNegative = 0.0,
) -> Schedule:
    """A linear climb, a plain, and a fall at a constant relative speed.

    Source: Park et al. 2019 (SpecAugment), section 3.2.

    Args:
      peak_value: rate of the plain, above 0.
      end_value: rate from the end of the fall on, above 0.
      warmup_steps: length of the climb in steps.
      hold_steps: length of the plain in steps.
      decay_steps: length of the fall in steps.
      init_value: rate at step 0.
    """

    def fall(count: ArrayLike) -> jax.Array:
        left, done = shares(count, decay_steps)
        return as_float(peak_value) ** left * as_float(end_value) ** done

    return warmup(join([peak_value, fall], [hold_steps]), warmup_steps, init_value)


@checked
def one_cycle(
    peak_value: NonNegative,
    warmup_steps: Steps,
    decay_steps: Steps,
    final_steps: Steps = 0,
    div_factor: AtLeastOne = 25.0,
    final_div_factor: AtLeastOne = 1e4,
    shape: Literal["cosine", "linear"] = "cosine",
) -> Schedule:
    """Up from `peak_value / div_factor` to the peak, and down to `1 / final_div_factor` of that.

    Source: Smith & Topin 2019 (super-convergence).

    Args:
      peak_value: rate at step `warmup_steps`.
      warmup_steps: length of the climb in steps; 0.3 of the whole is common.
      decay_steps: length of the fall in steps.
      final_steps: length of a third phase, in steps. With it the fall goes back to the first
        rate, and from there this phase goes to the last one; without it the fall goes to the
        last rate itself.
      div_factor: the peak divided by the rate at step 0, at least 1.
      final_div_factor: the rate at step 0 divided by the last one, at least 1.
      shape: how each phase goes.
    """
    weights = shapes.weights_of(shape)
    foot = as_float(peak_value) / as_float(div_factor)
    end = foot / as_float(final_div_factor)
    middle = jnp.where(jnp.asarray(final_steps) > 0, foot, end)
    fall = phase(peak_value, middle, decay_steps, weights)
    final = phase(foot, end, final_steps, weights)
    return warmup(join([fall, final], [decay_steps]), warmup_steps, foot, shape)


@checked
def slanted_triangular(
    peak_value: NonNegative, warmup_steps: Steps, decay_steps: Steps, ratio: AtLeastOne = 32.0
) -> Schedule:
    """Straight up from `peak_value / ratio`, soon, and straight down to it again.

    Source: Howard & Ruder 2018 (ULMFiT), eq. 3.

    Args:
      peak_value: rate at step `warmup_steps`.
      warmup_steps: length of the climb in steps; 0.1 of the whole there.
      decay_steps: length of the fall in steps.
      ratio: the peak divided by the first and the last rate, at least 1.
    """
    foot = as_float(peak_value) / as_float(ratio)
    return warmup(phase(peak_value, foot, decay_steps), warmup_steps, foot)
