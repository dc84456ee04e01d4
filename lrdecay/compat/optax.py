"""The schedules of Optax 0.2.8 whose numbers cannot be traced there, with its names and values.

Optax branches in Python on everything but the rates. These do not, and keep their accuracy in the
tail of a long schedule. They differ where Optax is wrong: a transition of no steps is over at once,
where there it never begins (so that a warmup of 0 steps is a rate of 0 for ever), and boundaries
that fall on the same step leave out what is between them. What lets the rate grow without bound, a
decay rate above 1 or a divisor below it, is refused. `optax.constant_schedule` is right as it is;
`optax.join_schedules`, whose gradients may be NaN, is our `join`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import jax.numpy as jnp
from jax.typing import ArrayLike

from lrdecay import cosine, exponential, join, piecewise_interpolate, polynomial, warmup
from lrdecay.arguments import (
    INT32_MAX,
    Factor,
    Fraction,
    NonNegative,
    Number,
    Positive,
    PositiveSteps,
    Steps,
    checked,
)
from lrdecay.compat import plateau
from lrdecay.schedules import Schedule
from lrdecay.schedules.base import concrete
from lrdecay.schedules.clock import as_float
from lrdecay.schedules.phases import AtLeastOne


@checked
def polynomial_schedule(
    init_value: NonNegative,
    end_value: NonNegative,
    power: Positive,
    transition_steps: Steps,
    transition_begin: Steps = 0,
) -> Schedule:
    """Our `polynomial`, after `transition_begin` steps at `init_value`."""
    move = polynomial(init_value, transition_steps, power, end_value)
    return join([init_value, move], [transition_begin])


@checked
def linear_schedule(
    init_value: NonNegative,
    end_value: NonNegative,
    transition_steps: Steps,
    transition_begin: Steps = 0,
) -> Schedule:
    """Our `linear`, after `transition_begin` steps at `init_value`."""
    return polynomial_schedule(init_value, end_value, 1.0, transition_steps, transition_begin)


@checked
def exponential_decay(
    init_value: NonNegative,
    transition_steps: PositiveSteps,
    decay_rate: Factor,
    transition_begin: Steps = 0,
    staircase: bool = False,
    end_value: NonNegative | None = None,
) -> Schedule:
    """Our `exponential`, after `transition_begin` steps at `init_value`."""
    floor = 0.0 if end_value is None else end_value
    decay = exponential(init_value, transition_steps, decay_rate, floor, staircase)
    return join([jnp.maximum(as_float(init_value), as_float(floor)), decay], [transition_begin])


@checked
def cosine_decay_schedule(
    init_value: NonNegative,
    decay_steps: PositiveSteps,
    alpha: NonNegative = 0.0,
    exponent: Positive = 1.0,
) -> Schedule:
    """Our `cosine`; but the end is the share `alpha` of `init_value`."""
    return cosine(init_value, decay_steps, as_float(init_value) * as_float(alpha), exponent)


def _knots(
    init_value: ArrayLike, boundaries_and_scales: Mapping[Any, Any] | None
) -> tuple[list[ArrayLike], list[int]]:
    """The rates that the scales multiply up to, and the boundaries, in order."""
    name = "boundaries_and_scales"
    given = {} if boundaries_and_scales is None else boundaries_and_scales
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must map steps to scales, got {given!r}")
    for boundary, scale in given.items():
        Number(int, low=0, high=INT32_MAX).check(f"a step of {name}", boundary)
        Number(low=0).check(f"{name}[{boundary}]", scale)
    scales = sorted(given.items())
    values: list[ArrayLike] = [init_value]
    for _, scale in scales:
        values.append(as_float(values[-1]) * as_float(scale))
    return values, [boundary for boundary, _ in scales]


@checked
def piecewise_constant_schedule(
    init_value: NonNegative, boundaries_and_scales: Mapping[Any, Any] | None = None
) -> Schedule:
    """A rate multiplied by the given scale at each boundary. Ours: `join` of the numbers.

    Args:
      init_value: rate before the first boundary.
      boundaries_and_scales: the scale, at least 0, by the step at which it acts.
    """
    return join(*_knots(init_value, boundaries_and_scales))


@checked
def piecewise_interpolate_schedule(
    interpolate_type: Literal["linear", "cosine"],
    init_value: NonNegative,
    boundaries_and_scales: Mapping[Any, Any] | None = None,
) -> Schedule:
    """Our `piecewise_interpolate`; but each rate is given as a multiple of the one before."""
    return piecewise_interpolate(*_knots(init_value, boundaries_and_scales), interpolate_type)


def _share_of(steps: ArrayLike, share: ArrayLike) -> ArrayLike:
    """A share of the steps rounded down, in Python's float64 as there where it is not traced."""
    if len(known := concrete(share, steps)) == 2:
        return int(known[0] * known[1])
    return jnp.floor(as_float(share) * as_float(steps)).astype(jnp.int32)


@checked
def linear_onecycle_schedule(
    transition_steps: PositiveSteps,
    peak_value: NonNegative,
    pct_start: Fraction = 0.3,
    pct_final: Fraction = 0.85,
    div_factor: AtLeastOne = 25.0,
    final_div_factor: AtLeastOne = 1e4,
) -> Schedule:
    """Our `one_cycle` in three phases, linear, with shares of the whole rounded down to steps.

    Raises:
      ValueError: `pct_final` is below `pct_start`.
    """
    if len(known := concrete(pct_start, pct_final)) == 2 and known[1] < known[0]:
        raise ValueError(
            f"pct_final must be at least the {pct_start} of pct_start, got {pct_final}"
        )
    foot = as_float(peak_value) / as_float(div_factor)
    ends = [_share_of(transition_steps, share) for share in (pct_start, pct_final)]
    values = [foot, peak_value, foot, foot / as_float(final_div_factor)]
    return piecewise_interpolate(values, [*ends, transition_steps])


@checked
def cosine_onecycle_schedule(
    transition_steps: PositiveSteps,
    peak_value: NonNegative,
    pct_start: Fraction = 0.3,
    div_factor: AtLeastOne = 25.0,
    final_div_factor: AtLeastOne = 1e4,
) -> Schedule:
    """Our `one_cycle` in two phases, with a share of the whole rounded down to steps."""
    foot = as_float(peak_value) / as_float(div_factor)
    values = [foot, peak_value, foot / as_float(final_div_factor)]
    ends = [_share_of(transition_steps, pct_start), transition_steps]
    return piecewise_interpolate(values, ends, "cosine")


@checked
def warmup_constant_schedule(
    init_value: NonNegative, peak_value: NonNegative, warmup_steps: Steps
) -> Schedule:
    """Our `warmup` of a number."""
    return warmup(peak_value, warmup_steps, init_value)


@checked
def warmup_cosine_decay_schedule(
    init_value: NonNegative,
    peak_value: NonNegative,
    warmup_steps: Steps,
    decay_steps: PositiveSteps,
    end_value: NonNegative = 0.0,
    exponent: Positive = 1.0,
) -> Schedule:
    """Our `cosine` under our `warmup`; but `decay_steps` includes the warmup.

    Raises:
      ValueError: a warmup longer than the whole.
    """
    if len(known := concrete(warmup_steps, decay_steps)) == 2 and known[0] > known[1]:
        raise ValueError(
            f"warmup_steps must be at most the {decay_steps} of decay_steps, got {warmup_steps}"
        )
    rest = jnp.asarray(decay_steps, jnp.int32) - jnp.asarray(warmup_steps, jnp.int32)
    return warmup(cosine(peak_value, rest, end_value, exponent), warmup_steps, init_value)


@checked
def warmup_exponential_decay_schedule(
    init_value: NonNegative,
    peak_value: NonNegative,
    warmup_steps: Steps,
    transition_steps: PositiveSteps,
    decay_rate: Factor,
    transition_begin: Steps = 0,
    staircase: bool = False,
    end_value: NonNegative | None = None,
) -> Schedule:
    """Our `exponential` under our `warmup`, after `transition_begin` steps at the peak."""
    decay = exponential_decay(
        peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )
    return warmup(decay, warmup_steps, init_value)


def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, Any]]) -> Schedule:
    """Several `warmup_cosine_decay_schedule`s in a row. Ours, `cosine_restarts`, has no end.

    Args:
      cosine_kwargs: the arguments of each, as a dict.

    Raises:
      TypeError: no arguments, or something else.
    """
    cycles = list(cosine_kwargs)
    if not cycles or not all(isinstance(cycle, Mapping) for cycle in cycles):
        raise TypeError(f"cosine_kwargs must be a list of arguments, one a cycle, got {cycles}")
    schedules = [warmup_cosine_decay_schedule(**cycle) for cycle in cycles]
    lengths = jnp.stack([jnp.asarray(cycle["decay_steps"], jnp.int32) for cycle in cycles])
    return join(schedules, list(jnp.cumsum(lengths)[:-1]))


reduce_on_plateau = plateau.optax_reduce_on_plateau
