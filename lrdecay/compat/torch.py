"""The schedulers of PyTorch 2.13, `torch.optim.lr_scheduler`, in their closed forms.

Arguments that PyTorch gives to every class alike, such as `last_epoch`, are left out: a schedule
has no state. What lets the rate grow without bound, a factor above 1 or a divisor below it, is
refused.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay import (
    cosine_restarts,
    cyclic,
    exponential,
    join,
    linear,
    multistep,
    polynomial,
    product,
    step,
)
from lrdecay.arguments import (
    Count,
    Factor,
    Fraction,
    NonNegative,
    Positive,
    PositiveSteps,
    Steps,
    checked,
)
from lrdecay.compat import plateau
from lrdecay.schedules import Boundaries, RateOrSchedule, Schedule
from lrdecay.schedules.base import boundary_list, floats_list
from lrdecay.schedules.clock import as_count, as_float, half_waves
from lrdecay.schedules.phases import AtLeastOne
from lrdecay.schedules.shapes import between, wave, weights_of

ScaleFunction = Callable[[jax.Array], ArrayLike]
Mode = Literal["triangular", "triangular2", "exp_range"]


@checked
def LambdaLR(lr: NonNegative, lr_lambda: Callable[[ArrayLike], ArrayLike]) -> Schedule:
    """`lr * lr_lambda(t)`, with a function that JAX can trace. Ours: `product`."""
    return product([lr, lr_lambda])


@checked
def StepLR(lr: NonNegative, step_size: PositiveSteps, gamma: Factor = 0.1) -> Schedule:
    """Our `step`."""
    return step(lr, step_size, gamma)


@checked
def MultiStepLR(lr: NonNegative, milestones: Boundaries, gamma: Factor = 0.1) -> Schedule:
    """Our `multistep`."""
    return multistep(lr, milestones, gamma)


@checked
def ConstantLR(lr: NonNegative, factor: Fraction = 1.0 / 3, total_iters: Steps = 5) -> Schedule:
    """`lr * factor` up to step `total_iters`, and `lr` from it on. Ours: `join` of two numbers."""
    return join([as_float(lr) * as_float(factor), lr], [total_iters])


@checked
def LinearLR(
    lr: NonNegative,
    start_factor: Factor = 1.0 / 3,
    end_factor: Fraction = 1.0,
    total_iters: PositiveSteps = 5,
) -> Schedule:
    """Our `linear`, from `lr * start_factor` to `lr * end_factor`."""
    first, last = (as_float(lr) * as_float(factor) for factor in (start_factor, end_factor))
    return linear(first, last, total_iters)


@checked
def ExponentialLR(lr: NonNegative, gamma: Factor) -> Schedule:
    """Our `exponential`, by `gamma` a step."""
    return exponential(lr, 1, gamma)


@checked
def PolynomialLR(
    lr: NonNegative, total_iters: PositiveSteps = 5, power: Positive = 1.0
) -> Schedule:
    """Our `polynomial`, which can also end above 0."""
    return polynomial(lr, total_iters, power)


@checked
def CosineAnnealingLR(
    lr: NonNegative, T_max: PositiveSteps, eta_min: NonNegative = 0.0
) -> Schedule:
    """A cosine that climbs again after step `T_max`, and so on for ever. Ours, `cosine`, stays."""

    def schedule(count: ArrayLike) -> jax.Array:
        return between(lr, eta_min, wave(*half_waves(count, T_max, 1.0)))

    return schedule


@checked
def CosineAnnealingWarmRestarts(
    lr: NonNegative, T_0: PositiveSteps, T_mult: PositiveSteps = 1, eta_min: NonNegative = 0.0
) -> Schedule:
    """Our `cosine_restarts`, with the same peak each time."""
    return cosine_restarts(lr, T_0, eta_min, length_factor=T_mult)


@checked
def CyclicLR(
    base_lr: NonNegative,
    max_lr: NonNegative,
    step_size_up: PositiveSteps = 2000,
    step_size_down: PositiveSteps | None = None,
    mode: Mode = "triangular",
    gamma: Factor = 1.0,
    scale_fn: ScaleFunction | None = None,
    scale_mode: Literal["cycle", "iterations"] = "cycle",
) -> Schedule:
    """Our `cyclic`; but `scale_fn` is a function of the cycle, counted from 1, or of the step.

    `cycle_momentum` is `CyclicMomentum`, a schedule of its own.
    """
    down_steps = step_size_up if step_size_down is None else step_size_down
    scale = None
    if scale_fn is not None:
        scale = _scale(scale_fn, scale_mode, step_size_up, down_steps)
    return cyclic(base_lr, max_lr, step_size_up, down_steps, mode, gamma, scale)


def _scale(
    scale_fn: ScaleFunction, scale_mode: str, up_steps: ArrayLike, down_steps: ArrayLike
) -> Schedule:
    def scale(count: ArrayLike) -> jax.Array:
        count = as_count(count)
        size = jnp.asarray(up_steps, count.dtype) + jnp.asarray(down_steps, count.dtype)
        return as_float(
            scale_fn(as_float(count if scale_mode == "iterations" else 1 + count // size))
        )

    return scale


@checked
def CyclicMomentum(
    step_size_up: PositiveSteps = 2000,
    step_size_down: PositiveSteps | None = None,
    mode: Mode = "triangular",
    gamma: Factor = 1.0,
    scale_fn: ScaleFunction | None = None,
    scale_mode: Literal["cycle", "iterations"] = "cycle",
    base_momentum: NonNegative = 0.8,
    max_momentum: NonNegative = 0.9,
) -> Schedule:
    """The momentum that goes with `CyclicLR`: lowest where the rate peaks."""
    return CyclicLR(
        max_momentum,
        base_momentum,
        step_size_up,
        step_size_down,
        mode,
        gamma,
        scale_fn,
        scale_mode,
    )


@checked
def OneCycleLR(
    max_lr: NonNegative,
    total_steps: PositiveSteps | None = None,
    epochs: Count | None = None,
    steps_per_epoch: Count | None = None,
    pct_start: Fraction = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    div_factor: AtLeastOne = 25.0,
    final_div_factor: AtLeastOne = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """One cycle that peaks at `pct_start * total_steps - 1`, mostly in between two steps.

    It ends at step `total_steps - 1`, where PyTorch raises an error two steps later, and rises in
    the one before. Ours, `one_cycle`, reaches its peak, and its end one step later.
    `cycle_momentum` is `OneCycleMomentum`, a schedule of its own.
    """
    first = as_float(max_lr) / as_float(div_factor)
    last = first / as_float(final_div_factor)
    knots = [first, max_lr, first, last] if three_phase else [first, max_lr, last]
    total = _total_steps(total_steps, epochs, steps_per_epoch)
    return _one_cycle(knots, total, pct_start, anneal_strategy)


@checked
def OneCycleMomentum(
    total_steps: PositiveSteps | None = None,
    epochs: Count | None = None,
    steps_per_epoch: Count | None = None,
    pct_start: Fraction = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    base_momentum: NonNegative = 0.85,
    max_momentum: NonNegative = 0.95,
    three_phase: bool = False,
) -> Schedule:
    """The momentum that goes with `OneCycleLR`: lowest where the rate peaks."""
    knots = [max_momentum, base_momentum, max_momentum]
    total = _total_steps(total_steps, epochs, steps_per_epoch)
    return _one_cycle(knots + knots[2:] * three_phase, total, pct_start, anneal_strategy)


def _total_steps(
    total_steps: ArrayLike | None, epochs: ArrayLike | None, steps_per_epoch: ArrayLike | None
) -> jax.Array:
    if total_steps is not None:
        return as_float(total_steps)
    if epochs is None or steps_per_epoch is None:
        raise ValueError("total_steps must be given, or both epochs and steps_per_epoch")
    return as_float(epochs) * as_float(steps_per_epoch)


def _one_cycle(
    knots: Sequence[ArrayLike], total: jax.Array, pct_start: ArrayLike, anneal_strategy: str
) -> Schedule:
    weights = weights_of("cosine" if anneal_strategy == "cos" else "linear")
    warm = as_float(pct_start) * total
    middle = [warm - 1.0, 2.0 * warm - 2.0][: len(knots) - 2]
    times = [as_float(0.0), *middle, total - 1.0]

    def schedule(count: ArrayLike) -> jax.Array:
        time = as_float(as_count(count))
        rate = jnp.broadcast_to(as_float(knots[-1]), time.shape)
        for i in reversed(range(len(middle) + 1)):
            begin, end = times[i], times[i + 1]
            length = jnp.where(end > begin, end - begin, 1.0)
            left = jnp.clip((end - time) / length, 0.0, 1.0)
            done = jnp.clip((time - begin) / length, 0.0, 1.0)
            piece = between(knots[i], knots[i + 1], weights(left, done))
            rate = jnp.where(time <= end, piece, rate)
        return rate

    return schedule


@checked
def SequentialLR(schedulers: Sequence[RateOrSchedule], milestones: Boundaries) -> Schedule:
    """Our `join`: each scheduler starts from its own step 0, at its own `lr`.

    Raises:
      ValueError: not one milestone fewer than schedulers, or falling milestones.
    """
    parts, ends = floats_list(schedulers, "schedulers"), boundary_list(milestones, "milestones")
    if len(parts) != len(ends) + 1:
        raise ValueError(
            f"milestones must be one fewer than schedulers, got {len(ends)} for {len(parts)}"
        )
    return join(parts, ends)


@checked
def ChainedScheduler(lr: NonNegative, schedulers: Sequence[RateOrSchedule]) -> Schedule:
    """`lr` times all of the schedulers, each of them made with an `lr` of 1. Ours: `product`.

    So does PyTorch for the schedulers that multiply the rate: constant, linear, step, multistep,
    exponential, polynomial, and those of a function. The others set the rate there.
    """
    return product([lr, *floats_list(schedulers, "schedulers")])


ReduceLROnPlateau = plateau.torch_reduce_lr_on_plateau
