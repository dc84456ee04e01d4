"""The loss-aware schedulers of other libraries, under their own arguments.

Each is exact to its peer where the metric is finite, and not negative or compared by an absolute
margin. NaN and infinite values are left out, where in the peers they spoil the best value or the
count. As everywhere here, what is observed in one step acts in the next.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay import plateau, presets
from lrdecay.arguments import Count, CountOrZero, Factor, NonNegative, Positive, checked
from lrdecay.decays import Decay, Share, multiply
from lrdecay.loss_aware_schedule import LossAware, loss_aware

Mode = Literal["min", "max"]


def _f32(x: ArrayLike) -> jax.Array:
    return jnp.asarray(x, jnp.float32)


def _margins(threshold: ArrayLike, threshold_mode: str) -> tuple[ArrayLike, ArrayLike]:
    """The relative and the absolute margin that a threshold stands for."""
    return (threshold, 0.0) if threshold_mode == "rel" else (0.0, threshold)


@checked
def torch_reduce_lr_on_plateau(
    lr: Positive,
    mode: Mode = "min",
    factor: Factor = 0.1,
    patience: CountOrZero = 10,
    threshold: NonNegative = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: CountOrZero = 0,
    min_lr: NonNegative = 0.0,
    eps: NonNegative = 1e-8,
    monitor: str = "value",
) -> LossAware:
    """`torch.optim.lr_scheduler.ReduceLROnPlateau` (2.13), called once an observation.

    Relative thresholds of negative metrics differ: there PyTorch takes what is worse for better.

    Args:
      lr: the initial rate.
      mode: "min" where lower is better, "max" where higher is.
      factor: what a cut multiplies by.
      patience: bad observations in a row that are still borne; one more cuts.
      threshold: margin of an improvement.
      threshold_mode: "rel", where the margin is a share of the best, or "abs".
      cooldown: observations after each cut in which none counts as bad.
      min_lr: the rate never falls below it.
      eps: a cut by no more than this is not made.
      monitor: name of the metric.
    """
    rtol, atol = _margins(threshold, threshold_mode)

    def how(fires: jax.Array, since: jax.Array) -> jax.Array:
        # No cut is by more than eps once the rate is at most min_lr + eps or eps / (1 - factor).
        end = jnp.maximum(_f32(min_lr) + _f32(eps), _f32(eps) / (1.0 - _f32(factor)))
        cuts = jnp.ceil(jnp.log(end / _f32(lr)) / jnp.log(_f32(factor)))
        made = jnp.minimum(fires.astype(jnp.float32), jnp.maximum(cuts, 0.0))
        return jnp.maximum(_f32(factor) ** made, jnp.minimum(_f32(min_lr) / _f32(lr), 1.0))

    when = plateau(patience, rtol, atol, cooldown, 1, mode, monitor, convention="torch")
    return loss_aware(lr, when=when, how=Decay(how))


@checked
def keras_reduce_lr_on_plateau(
    lr: Positive,
    factor: Factor = 0.1,
    patience: CountOrZero = 10,
    mode: Mode = "min",
    min_delta: NonNegative = 1e-4,
    cooldown: CountOrZero = 0,
    min_lr: NonNegative = 0.0,
    monitor: str = "value",
) -> LossAware:
    """`keras.callbacks.ReduceLROnPlateau` (3.15), told the metric once an epoch.

    Args:
      lr: the initial rate.
      factor: what a cut multiplies by.
      patience: bad observations in a row that cut; 0 is the same as 1.
      mode: "min" where lower is better, "max" where higher is; there is no "auto".
      min_delta: absolute margin of an improvement.
      cooldown: observations from each cut on, its own included, in which none counts as bad.
      min_lr: the rate never falls below it.
      monitor: name of the metric.
    """
    when = plateau(patience, 0.0, min_delta, cooldown, 1, mode, monitor, convention="keras")
    floor = jnp.minimum(_f32(min_lr) / _f32(lr), 1.0)
    return loss_aware(lr, when=when, how=multiply(factor, floor))


@checked
def optax_reduce_on_plateau(
    lr: Positive,
    factor: Factor = 0.1,
    patience: Count = 10,
    rtol: NonNegative = 1e-4,
    atol: NonNegative = 0.0,
    cooldown: CountOrZero = 0,
    accumulation_size: Count = 1,
    min_scale: Share = 0.0,
    monitor: str = "value",
) -> LossAware:
    """`optax.contrib.reduce_on_plateau` (0.2.8), as a schedule; its own cuts come one step earlier.

    With a relative margin negative metrics differ: there Optax takes what is worse for better.

    Args:
      lr: the rate that is scaled.
      factor: what a cut multiplies by.
      patience: bad observations in a row that cut, at least 1.
      rtol: relative margin of an improvement.
      atol: absolute margin of an improvement.
      cooldown: observations after each cut in which none counts as bad.
      accumulation_size: observations averaged into one.
      min_scale: the scale never falls below it.
      monitor: name of the metric.
    """
    return presets.reduce_on_plateau(
        lr,
        factor,
        patience,
        rtol,
        atol,
        cooldown,
        window=accumulation_size,
        floor=min_scale,
        monitor=monitor,
    )


@checked
def hf_greedy(
    lr: Positive,
    mode: Mode = "min",
    factor: Factor = 0.95,
    patience: CountOrZero = 10,
    threshold: NonNegative = 1e-6,
    threshold_mode: Literal["rel", "abs"] = "abs",
    cooldown: CountOrZero = 0,
    warmup: CountOrZero = 0,
    min_lr: NonNegative = 1e-3,
    max_lr: Positive = 1.0,
    monitor: str = "value",
) -> LossAware:
    """`transformers.GreedyLR` (5.23), called once an observation.

    Differs on purpose: once the rate has been cut off at a limit, what takes it back is the power
    of `factor` from before, not the limit by `factor`; there is no reset at `min_lr`; and in place
    of `smooth` there is `window` in `lrdecay.presets.greedy`.

    Args:
      lr: the initial rate.
      mode: "min" where lower is better, "max" where higher is.
      factor: what a cut multiplies by, and a raise divides by.
      patience: observations in a row to one side that are still borne; one more acts.
      threshold: margin of an improvement.
      threshold_mode: "rel", where the margin is a share of the best, or "abs".
      cooldown: observations after each cut in which nothing counts.
      warmup: observations after each raise in which nothing counts.
      min_lr: no cut goes below it.
      max_lr: no raise goes above it.
      monitor: name of the metric.
    """
    rtol, atol = _margins(threshold, threshold_mode)
    low, high = _f32(min_lr) / _f32(lr), _f32(max_lr) / _f32(lr)
    return presets.greedy(
        lr,
        factor,
        jnp.asarray(patience, jnp.int32) + 1,
        jnp.minimum(low, 1.0),
        high,
        rtol,
        atol,
        cooldown,
        warmup,
        mode=mode,
        monitor=monitor,
    )
