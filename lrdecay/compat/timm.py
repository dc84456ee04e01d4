"""The schedulers of timm 1.0.31, `timm.scheduler`.

Steps are the epochs or updates that timm is given. Noise is left out, as its numbers come from
PyTorch's generator: wrap a schedule in our `noisy` for noise of the same distribution.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay import constant, linear, multistep, power, wsd
from lrdecay.arguments import Count, Factor, NonNegative, Positive, PositiveSteps, Steps, checked
from lrdecay.schedules import Boundaries, Schedule
from lrdecay.schedules.base import concrete
from lrdecay.schedules.clock import as_count, as_float, cycle, since
from lrdecay.schedules.cosine import Growth
from lrdecay.schedules.hyperbolic import TanhArgument
from lrdecay.schedules.phases import Ratio
from lrdecay.schedules.shapes import Pair, cosine, raised

DecayFunction = (
    Literal["linear", "1-sqrt", "cosine", "power", "exp"] | Callable[[jax.Array], jax.Array]
)
# float32 holds a length of 2.4 to 1e-7 of itself.
SLACK = 1.0 + 5e-7


def _warmed(
    schedule: Schedule, target: ArrayLike, warmup_t: ArrayLike, init: ArrayLike, prefix: bool
) -> Schedule:
    """A line up to `target`; the schedule runs on underneath it, or from its end if `prefix`."""
    climb = linear(init, target, warmup_t)

    def warmed(count: ArrayLike) -> jax.Array:
        count = as_count(count)
        after = schedule(since(count, warmup_t) if prefix else count)
        return jnp.where(count < jnp.asarray(warmup_t, count.dtype), climb(count), after)

    return warmed


def _cycles(
    weights: Callable[[jax.Array, jax.Array], Pair],
    lr: ArrayLike,
    t_initial: ArrayLike,
    lr_min: ArrayLike,
    cycle_mul: ArrayLike,
    cycle_decay: ArrayLike,
    cycle_limit: ArrayLike,
) -> Schedule:
    """Falls from `lr * cycle_decay ** i` to `lr_min`, in as many cycles as the limit."""

    def schedule(count: ArrayLike) -> jax.Array:
        index, left, done = cycle(count, t_initial, cycle_mul)
        peak = as_float(lr) * as_float(cycle_decay) ** index
        first, last = weights(left, done)
        rate = peak * first + as_float(lr_min) * last
        return jnp.where(index < as_float(cycle_limit), rate, as_float(lr_min))

    return schedule


@checked
def CosineLRScheduler(
    lr: NonNegative,
    t_initial: PositiveSteps,
    lr_min: NonNegative = 0.0,
    cycle_mul: Growth = 1.0,
    cycle_decay: Factor = 1.0,
    cycle_limit: Count = 1,
    warmup_t: Steps = 0,
    warmup_lr_init: NonNegative = 0.0,
    warmup_prefix: bool = False,
    k_decay: Positive = 1.0,
) -> Schedule:
    """A cosine, in cycles, which after their number stays at `lr_min`.

    Without `warmup_prefix` the cosine runs on under the warmup, and the peak is not reached; ours,
    `warmup(cosine_restarts(...))`, does not. Each peak itself is multiplied by `cycle_decay`, and
    not its height above `lr_min`. Where timm's logarithm is rounded down at a restart it stays at
    the end of the cycle; here it restarts.
    """

    def weights(left: jax.Array, done: jax.Array) -> Pair:
        done, left = raised(done, left, k_decay)
        return cosine(left, done)

    falls = _cycles(weights, lr, t_initial, lr_min, cycle_mul, cycle_decay, cycle_limit)
    return _warmed(falls, lr, warmup_t, warmup_lr_init, warmup_prefix)


@checked
def PolyLRScheduler(
    lr: NonNegative,
    t_initial: PositiveSteps,
    power: Positive = 0.5,
    lr_min: NonNegative = 0.0,
    cycle_mul: Growth = 1.0,
    cycle_decay: Factor = 1.0,
    cycle_limit: Count = 1,
    warmup_t: Steps = 0,
    warmup_lr_init: NonNegative = 0.0,
    warmup_prefix: bool = False,
    k_decay: Positive = 1.0,
) -> Schedule:
    """Our `polynomial` in cycles, with a power of 0.5, and warmed up as `CosineLRScheduler`."""

    def weights(left: jax.Array, done: jax.Array) -> Pair:
        done, left = raised(done, left, k_decay)
        return raised(left, done, power)

    falls = _cycles(weights, lr, t_initial, lr_min, cycle_mul, cycle_decay, cycle_limit)
    return _warmed(falls, lr, warmup_t, warmup_lr_init, warmup_prefix)


@checked
def TanhLRScheduler(
    lr: NonNegative,
    t_initial: PositiveSteps,
    lb: TanhArgument = -7.0,
    ub: TanhArgument = 3.0,
    lr_min: NonNegative = 0.0,
    cycle_mul: Growth = 1.0,
    cycle_decay: Factor = 1.0,
    cycle_limit: Count = 1,
    warmup_t: Steps = 0,
    warmup_lr_init: NonNegative = 0.0,
    warmup_prefix: bool = False,
) -> Schedule:
    """`(1 - tanh) / 2` from `lb` to `ub`, in cycles, which reaches neither end.

    Ours, `tanh`, is stretched to do so. Without `warmup_prefix` the warmup goes to where the fall
    then is.
    """

    def weights(left: jax.Array, done: jax.Array) -> Pair:
        x = 2.0 * (as_float(lb) * left + as_float(ub) * done)
        return jax.nn.sigmoid(-x), jax.nn.sigmoid(x)

    falls = _cycles(weights, lr, t_initial, lr_min, cycle_mul, cycle_decay, cycle_limit)
    target = lr if warmup_prefix else falls(jnp.asarray(warmup_t))
    return _warmed(falls, target, warmup_t, warmup_lr_init, warmup_prefix)


@checked
def StepLRScheduler(
    lr: NonNegative,
    decay_t: Positive,
    decay_rate: Factor = 1.0,
    warmup_t: Steps = 0,
    warmup_lr_init: NonNegative = 0.0,
    warmup_prefix: bool = True,
) -> Schedule:
    """Our `step` under a warmup; but the stairs need not be whole steps long.

    Where they are not, float32 cannot tell whether a stair ends at a step or just after it, and
    it then ends at the step.
    """

    def schedule(count: ArrayLike) -> jax.Array:
        count = as_count(count)
        if jnp.issubdtype(jnp.result_type(decay_t), jnp.integer):
            stair = as_float(count // jnp.asarray(decay_t, count.dtype))
        else:
            time = as_float(count)
            slack = SLACK if time.dtype == jnp.float32 else 1.0
            stair = jnp.floor_divide(time * slack, as_float(decay_t))
        return as_float(lr) * as_float(decay_rate) ** stair

    return _warmed(schedule, lr, warmup_t, warmup_lr_init, warmup_prefix)


@checked
def MultiStepLRScheduler(
    lr: NonNegative,
    decay_t: Boundaries,
    decay_rate: Factor = 1.0,
    warmup_t: Steps = 0,
    warmup_lr_init: NonNegative = 0.0,
    warmup_prefix: bool = True,
) -> Schedule:
    """Our `multistep` under a warmup; but each cut acts one step before its milestone."""
    ahead = [jnp.maximum(jnp.asarray(t, jnp.int32) - 1, 0) for t in decay_t]
    cuts = multistep(lr, ahead, decay_rate)
    return _warmed(cuts, lr, warmup_t, warmup_lr_init, warmup_prefix)


@checked
def WSDLRScheduler(
    lr: NonNegative,
    t_initial: PositiveSteps,
    decay_t: PositiveSteps,
    lr_min: NonNegative = 0.0,
    stable_fn: Literal["constant", "rsqrt", "power"] = "constant",
    stable_timescale: PositiveSteps | None = None,
    stable_power: Positive = 0.5,
    decay_fn: DecayFunction = "1-sqrt",
    decay_power: Positive = 0.5,
    decay_ratio: Ratio = 0.1,
    warmup_t: Steps = 0,
    warmup_lr_init: NonNegative = 0.0,
) -> Schedule:
    """Our `wsd`; but `t_initial` counts the stable phase and the cooldown together.

    A stable phase that falls stays above `lr_min`, its timescale is `warmup_t` where none is given,
    and the power of the cooldown is 0.5.

    Raises:
      ValueError: a cooldown longer than `t_initial`.
    """
    if len(known := concrete(decay_t, t_initial)) == 2 and known[0] > known[1]:
        raise ValueError(f"decay_t must be at most the {t_initial} of t_initial, got {decay_t}")
    timescale = warmup_t if stable_timescale is None else stable_timescale
    if stable_fn != "constant" and concrete(timescale) == [0]:
        raise ValueError("stable_timescale must be given where there is no warmup, got None")

    def stable(count: ArrayLike) -> jax.Array:
        if stable_fn == "constant":
            rate = constant(lr)(count)
        else:
            rate = power(lr, timescale, 0.5 if stable_fn == "rsqrt" else stable_power)(count)
        return jnp.maximum(as_float(rate), as_float(lr_min))

    shape = "exponential" if decay_fn == "exp" else decay_fn
    stable_t = jnp.asarray(t_initial, jnp.int32) - jnp.asarray(decay_t, jnp.int32)
    falls = wsd(
        stable,
        stable_t,
        decay_t,
        end_value=lr_min,
        shape=shape,
        exponent=decay_power,
        ratio=decay_ratio,
    )
    return _warmed(falls, lr, warmup_t, warmup_lr_init, prefix=True)
