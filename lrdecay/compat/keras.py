"""The schedules of Keras 3.15, `keras.optimizers.schedules`.

Keras computes in float32 and finds a restart by a logarithm, so that it may be one step off where
one falls on a step; these are exact there.
"""

import jax.numpy as jnp

from lrdecay import cosine, cosine_restarts, exponential, inverse_time, join, polynomial, warmup
from lrdecay.arguments import (
    INT32_MAX,
    Factor,
    NonNegative,
    Positive,
    PositiveSteps,
    Steps,
    checked,
)
from lrdecay.compat import plateau
from lrdecay.schedules import Boundaries, Rates, Schedule
from lrdecay.schedules.clock import as_float
from lrdecay.schedules.cosine import Growth


@checked
def ExponentialDecay(
    initial_learning_rate: NonNegative,
    decay_steps: PositiveSteps,
    decay_rate: Factor,
    staircase: bool = False,
) -> Schedule:
    """Our `exponential`. Rates above 1, which let it grow without bound, are refused."""
    return exponential(initial_learning_rate, decay_steps, decay_rate, staircase=staircase)


@checked
def PiecewiseConstantDecay(boundaries: Boundaries, values: Rates) -> Schedule:
    """A value for each part of the run, the next of which starts one step after its boundary.

    Ours, `join` of the numbers, takes over at the boundary itself.
    """
    after = [jnp.minimum(jnp.asarray(b, jnp.int32), INT32_MAX - 1) + 1 for b in boundaries]
    return join(list(values), after)


@checked
def PolynomialDecay(
    initial_learning_rate: NonNegative,
    decay_steps: PositiveSteps,
    end_learning_rate: NonNegative = 1e-4,
    power: Positive = 1.0,
    cycle: bool = False,
) -> Schedule:
    """Our `polynomial`; but the end is 1e-4 where none is given."""
    return polynomial(initial_learning_rate, decay_steps, power, end_learning_rate, cycle)


@checked
def InverseTimeDecay(
    initial_learning_rate: NonNegative,
    decay_steps: PositiveSteps,
    decay_rate: NonNegative,
    staircase: bool = False,
) -> Schedule:
    """Our `inverse_time`."""
    return inverse_time(initial_learning_rate, decay_steps, decay_rate, staircase)


@checked
def CosineDecay(
    initial_learning_rate: NonNegative,
    decay_steps: PositiveSteps,
    alpha: NonNegative = 0.0,
    warmup_target: NonNegative | None = None,
    warmup_steps: Steps = 0,
) -> Schedule:
    """Our `cosine`, under our `warmup` where there is a target; `decay_steps` excludes the warmup.

    The end is the share `alpha` of the peak, where ours is a rate.
    """
    peak = initial_learning_rate if warmup_target is None else warmup_target
    fall = cosine(peak, decay_steps, as_float(peak) * as_float(alpha))
    return fall if warmup_target is None else warmup(fall, warmup_steps, initial_learning_rate)


@checked
def CosineDecayRestarts(
    initial_learning_rate: NonNegative,
    first_decay_steps: PositiveSteps,
    t_mul: Growth = 2.0,
    m_mul: Factor = 1.0,
    alpha: NonNegative = 0.0,
) -> Schedule:
    """Our `cosine_restarts`; but the end is a share of the first peak, and cycles double in length.

    `t_mul` is at least 1 and `m_mul` at most 1.
    """
    end = as_float(initial_learning_rate) * as_float(alpha)
    return cosine_restarts(initial_learning_rate, first_decay_steps, end, t_mul, m_mul)


ReduceLROnPlateau = plateau.keras_reduce_lr_on_plateau
