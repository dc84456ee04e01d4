"""The cyclical learning rate."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay.arguments import Factor, NonNegative, PositiveSteps, checked
from lrdecay.schedules.base import RateOrSchedule, Schedule, floats
from lrdecay.schedules.clock import as_count, as_float, shares, since
from lrdecay.schedules.shapes import between


@checked
def cyclic(
    init_value: NonNegative,
    peak_value: NonNegative,
    up_steps: PositiveSteps,
    down_steps: PositiveSteps | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: Factor = 1.0,
    scale: RateOrSchedule | None = None,
) -> Schedule:
    """Straight up to a peak and straight down again, over and over.

    Source: Smith 2017 (CLR), section 3.

    Args:
      init_value: rate at the foot of every cycle, and at step 0.
      peak_value: rate at the peak of the first cycle.
      up_steps: steps from the foot to the peak.
      down_steps: steps from the peak to the next foot; as many as up where it is None.
      mode: how the height of the peak above the foot goes on: the same in every cycle, half of it
        in each cycle after the other, or `gamma ** t` of it at step t.
      gamma: the factor a step of "exp_range", in (0, 1].
      scale: in place of `mode`: the share of the height as a function of the step, in [0, 1].
    """
    share = None if scale is None else floats(scale, "scale")

    def schedule(count: ArrayLike) -> jax.Array:
        count = as_count(count)
        up = jnp.asarray(up_steps, count.dtype)
        down = up if down_steps is None else jnp.asarray(down_steps, count.dtype)
        # Two lengths may add up to more than int32 holds; then there is but one cycle.
        whole_cycle = jnp.where(up + down > 0, up + down, jnp.iinfo(jnp.int32).max)
        index, local = jnp.divmod(count, whole_cycle)
        rising = local < up
        below, climbed = shares(local, up)
        above, fallen = shares(since(local, up), down)
        amplitude = jnp.ones((), jnp.result_type(float))
        if share is not None:
            amplitude = share(count)
        elif mode == "triangular2":
            amplitude = 0.5 ** as_float(index)
        elif mode == "exp_range":
            amplitude = as_float(gamma) ** as_float(count)
        height = jnp.where(rising, climbed, above)
        depth = jnp.where(rising, below, fallen) + height * (1.0 - amplitude)
        return between(init_value, peak_value, (depth, height * amplitude))

    return schedule
