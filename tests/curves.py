"""Every schedule with its closed form, in plain NumPy and as the sources write it."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import lrdecay
from lrdecay.arguments import number

END = 2**31 - 1
SETTINGS = 8


class Curve(NamedTuple):
    """A schedule and what it should be.

    Attributes:
      make: the constructor.
      closed_form: (t, **arguments) -> rates, all in float64.
      boundaries: (**arguments) -> the steps at which something changes.
      fixed: arguments that are not drawn.
      draw: how to draw an argument for which its range alone is no good.
      rtol: relative accuracy in float32, where it is not 2e-6.
    """

    make: Callable[..., Any]
    closed_form: Callable[..., np.ndarray]
    boundaries: Callable[..., list[int]]
    fixed: dict[str, Any] = {}  # noqa: RUF012 - a default that nobody changes
    draw: dict[str, Callable[[np.random.Generator], Any]] = {}  # noqa: RUF012 - a default that nobody changes
    rtol: float = 2e-6


def part(t, n):
    """The share of n steps that is done, as written everywhere: 1 where there are none."""
    return np.minimum(t / n, 1.0) if n > 0 else np.ones_like(t)


def down(a, b, x):
    return b + (a - b) * x


def half_cosine(x):
    return 0.5 * (1.0 + np.cos(np.pi * x))


def stretching(t, n):
    horizon = n * np.maximum(np.ceil(t / n), 1.0)
    return (horizon - t) / horizon


def restarts(t, init_value, cycle_steps, end_value, length_factor, peak_factor):
    begins, lengths, begin, length = [], [], 0.0, float(cycle_steps)
    while begin <= t.max() and len(begins) < 10_000:
        begins.append(begin)
        lengths.append(length)
        begin, length = begin + length, length * length_factor
    if length_factor == 1:
        i = np.floor(t / cycle_steps)
        x = t / cycle_steps - i
    else:
        i = np.searchsorted(begins, t, side="right") - 1
        x = (t - np.array(begins)[i]) / np.array(lengths)[i]
    return end_value + (init_value - end_value) * peak_factor**i * half_cosine(x)


def tanh_share(x, low, high):
    value = np.tanh(low + (high - low) * x)
    return (np.tanh(high) - value) / (np.tanh(high) - np.tanh(low))


def hyperbola(t, n, bound):
    bound, t = max(bound, n), np.minimum(t, n)
    return np.sqrt((n - t) / bound * (2 - (n + t) / bound))


def trapezoid(
    t,
    rate,
    hold=0,
    fall=None,
    climb=0,
    first=0.0,
    last=0.0,
    cooldown=lambda x: 1 - x,
    warm=lambda x: x,
):
    since = np.maximum(t - climb, 0.0)
    stable = rate(since)
    x = part(np.maximum(since - hold, 0.0), np.inf if fall is None else fall)
    cooled = np.where(since < hold, stable, last + (stable - last) * cooldown(x))
    up = first + (rate(np.zeros(1))[0] - first) * warm(part(t, climb))
    return np.where(t < climb, up, cooled)


def triangle(t, up, down_steps):
    local = t % (up + down_steps)
    return np.where(local < up, local / up, 1 - (local - up) / down_steps)


def tri_stage(t, peak_value, end_value, warmup_steps, hold_steps, decay_steps, init_value):
    x = part(np.maximum(t - warmup_steps - hold_steps, 0), decay_steps)
    fall = peak_value * np.exp(np.log(end_value / peak_value) * x)
    rate = np.where(t < warmup_steps + hold_steps, peak_value, fall)
    climb = init_value + (peak_value - init_value) * part(t, warmup_steps)
    return np.where(t < warmup_steps, climb, rate)


def one_cycle(
    t, peak_value, warmup_steps, decay_steps, final_steps, div_factor, final_div_factor, shape
):
    def move(a, b, x):
        return a + (b - a) * (x if shape == "linear" else 1 - half_cosine(x))

    foot = peak_value / div_factor
    end = foot / final_div_factor
    t1 = np.maximum(t - warmup_steps, 0)
    t2 = np.maximum(t1 - decay_steps, 0)
    middle = foot if final_steps else end
    after = move(middle, end, part(t2, final_steps))
    fall = np.where(t1 < decay_steps, move(peak_value, middle, part(t1, decay_steps)), after)
    climb = move(foot, peak_value, part(t, warmup_steps))
    return np.where(t < warmup_steps, climb, fall)


COOLDOWNS = {
    "linear": lambda x, exponent, ratio: 1 - x,
    "cosine": lambda x, exponent, ratio: half_cosine(x),
    "1-sqrt": lambda x, exponent, ratio: 1 - np.sqrt(x),
    "power": lambda x, exponent, ratio: 1 - x**exponent,
    "exponential": lambda x, exponent, ratio: (ratio**x - ratio) / (1 - ratio),
}
AMPLITUDES = {
    "triangular": lambda t, cycle, gamma: 1.0,
    "triangular2": lambda t, cycle, gamma: 0.5**cycle,
    "exp_range": lambda t, cycle, gamma: gamma**t,
}


def rates(rng):
    return float(10.0 ** rng.uniform(-4, 0))


def fraction(rng):
    return float(rng.uniform(0.05, 1.0))


def exponent(rng):
    return float(rng.uniform(0.3, 3.0))


def one_of(*values):
    return lambda rng: values[rng.integers(len(values))]


def drawn(curve, seed):
    """Arguments for a curve, by the ranges in its signature; every float is a float32 one."""
    rng = np.random.default_rng(seed)
    found = dict(curve.fixed)
    for name, p in inspect.signature(curve.make).parameters.items():
        mark = number(p.annotation)
        if name in curve.draw:
            found[name] = curve.draw[name](rng)
        elif name in found or mark is None:
            continue
        elif mark.kind is int:
            found[name] = int(rng.integers(mark.low, 300) if seed % 4 else mark.low)
        elif mark.high == 1:
            found[name] = fraction(rng)
        elif mark.low == 1:
            found[name] = float(rng.uniform(1, 40))
        else:
            found[name] = rates(rng)
    return {k: float(np.float32(v)) if isinstance(v, float) else v for k, v in found.items()}


def numbers(arguments):
    """Those of the arguments that are numbers, or lists of them, as arrays."""
    kinds = (bool, str, type(None))
    return {
        k: jnp.asarray(v, jnp.int32 if np.asarray(v).dtype.kind == "i" else jnp.result_type(float))
        for k, v in arguments.items()
        if not isinstance(v, kinds) and not callable(v)
    }


def steps_of_interest(curve, arguments, seed=0):
    """Step 0, every boundary and its neighbours, steps in between, far on, and the last int32."""
    boundaries = curve.boundaries(**arguments)
    last = max([1, *boundaries])
    near = [b + d for b in boundaries for d in (-1, 0, 1)]
    between = np.random.default_rng(seed).integers(0, 2 * last, 8)
    # Sixty steps always, so that all are one shape.
    found = np.unique([t for t in [0, 1, 2, *near, *between, 10 * last, END - 1, END] if t >= 0])
    return np.resize(np.clip(found, 0, END), 60)


def settings(curve):
    """Pairs of arguments, which differ in numbers alone, and steps of interest."""
    for seed in range(SETTINGS):
        arguments = drawn(curve, seed)
        yield arguments, steps_of_interest(curve, arguments, seed)


CURVES = {
    "constant": Curve(lrdecay.constant, lambda t, value: np.full_like(t, value), lambda value: []),
    "linear": Curve(
        lrdecay.linear,
        lambda t, init_value, end_value, decay_steps: down(
            init_value, end_value, 1 - part(t, decay_steps)
        ),
        lambda decay_steps, **_: [decay_steps],
    ),
    "polynomial": Curve(
        lrdecay.polynomial,
        lambda t, init_value, decay_steps, power, end_value: down(
            init_value, end_value, (1 - part(t, decay_steps)) ** power
        ),
        lambda decay_steps, **_: [decay_steps],
        draw={"power": exponent},
    ),
    "polynomial that cycles": Curve(
        lrdecay.polynomial,
        lambda t, init_value, decay_steps, power, end_value, cycle: down(
            init_value, end_value, stretching(t, decay_steps) ** power
        ),
        lambda decay_steps, **_: [decay_steps, 2 * decay_steps, 5 * decay_steps],
        fixed={"cycle": True},
        draw={"power": exponent, "decay_steps": lambda rng: int(rng.integers(1, 300))},
    ),
    "cosine": Curve(
        lrdecay.cosine,
        lambda t, init_value, decay_steps, end_value, exponent, half_cycles: down(
            init_value, end_value, half_cosine(half_cycles * part(t, decay_steps)) ** exponent
        ),
        lambda decay_steps, **_: [decay_steps // 3, decay_steps // 2, decay_steps],
        draw={"exponent": exponent, "half_cycles": one_of(1, 1, 2, 3, 5)},
    ),
    "k_decay": Curve(
        lrdecay.k_decay,
        lambda t, init_value, decay_steps, k, end_value: down(
            init_value, end_value, half_cosine(part(t, decay_steps) ** k)
        ),
        lambda decay_steps, **_: [decay_steps],
        draw={"k": exponent},
    ),
    "cosine_restarts": Curve(
        lrdecay.cosine_restarts,
        restarts,
        lambda cycle_steps, length_factor, **_: [
            round(cycle_steps * sum(length_factor**j for j in range(i))) for i in (1, 2, 3, 6)
        ],
        draw={"length_factor": one_of(1.0, 1.5, 2.0, 3.0)},
        # A place in a cycle is known to 1e-7 of the cycle, and the rate at its end goes with the
        # square of the steps that are left.
        rtol=1e-5,
    ),
    "exponential": Curve(
        lrdecay.exponential,
        lambda t, init_value, decay_steps, decay_rate, end_value: np.maximum(
            init_value * decay_rate ** (t / decay_steps), end_value
        ),
        lambda decay_steps, **_: [decay_steps, 7 * decay_steps],
    ),
    "exponential in stairs": Curve(
        lrdecay.exponential,
        lambda t, init_value, decay_steps, decay_rate, end_value, staircase: np.maximum(
            init_value * decay_rate ** (t // decay_steps), end_value
        ),
        lambda decay_steps, **_: [decay_steps, 7 * decay_steps],
        fixed={"staircase": True},
    ),
    "step": Curve(
        lrdecay.step,
        lambda t, init_value, decay_steps, factor: init_value * factor ** (t // decay_steps),
        lambda decay_steps, **_: [decay_steps, 2 * decay_steps, 7 * decay_steps],
    ),
    "multistep": Curve(
        lrdecay.multistep,
        lambda t, init_value, boundaries, factor: (
            init_value * factor ** sum((t >= b).astype(float) for b in boundaries)
        ),
        lambda boundaries, **_: boundaries,
        draw={"boundaries": lambda rng: [*map(int, rng.integers(0, 50, 3)), 17, 17]},
    ),
    "power": Curve(
        lrdecay.power,
        lambda t, init_value, timescale, exponent: init_value * (1 + t / timescale) ** -exponent,
        lambda timescale, **_: [timescale],
        draw={"exponent": exponent},
    ),
    "inverse_sqrt": Curve(
        lrdecay.inverse_sqrt,
        lambda t, init_value, timescale: init_value / np.sqrt((t + timescale) / timescale),
        lambda timescale, **_: [timescale],
    ),
    "inverse_time": Curve(
        lrdecay.inverse_time,
        lambda t, init_value, decay_steps, decay_rate: (
            init_value / (1 + decay_rate * t / decay_steps)
        ),
        lambda decay_steps, **_: [decay_steps],
    ),
    "inverse_time in stairs": Curve(
        lrdecay.inverse_time,
        lambda t, init_value, decay_steps, decay_rate, staircase: (
            init_value / (1 + decay_rate * (t // decay_steps))
        ),
        lambda decay_steps, **_: [decay_steps, 3 * decay_steps],
        fixed={"staircase": True},
    ),
    "rex": Curve(
        lrdecay.rex,
        lambda t, init_value, decay_steps, end_value: down(
            init_value,
            end_value,
            (1 - part(t, decay_steps)) / (1 - part(t, decay_steps) / 2),
        ),
        lambda decay_steps, **_: [decay_steps],
    ),
    "tanh": Curve(
        lrdecay.tanh,
        lambda t, init_value, decay_steps, lower, upper, end_value: down(
            init_value, end_value, tanh_share(part(t, decay_steps), lower, upper)
        ),
        lambda decay_steps, **_: [decay_steps],
        draw={
            "lower": lambda rng: float(rng.uniform(-7, 0)),
            "upper": lambda rng: float(rng.uniform(0.5, 3)),
        },
    ),
    "hyperbolic": Curve(
        lrdecay.hyperbolic,
        lambda t, init_value, decay_steps, upper_bound, infimum_value: (
            init_value
            + (init_value - infimum_value)
            * (hyperbola(t, decay_steps, upper_bound) - hyperbola(0.0, decay_steps, upper_bound))
        ),
        lambda decay_steps, **_: [decay_steps],
    ),
    "exp_hyperbolic": Curve(
        lrdecay.exp_hyperbolic,
        lambda t, init_value, decay_steps, upper_bound, infimum_value: (
            init_value
            * (init_value / infimum_value)
            ** (hyperbola(t, decay_steps, upper_bound) - hyperbola(0.0, decay_steps, upper_bound))
        ),
        lambda decay_steps, **_: [decay_steps],
    ),
    **{
        f"cyclic {mode}": Curve(
            lrdecay.cyclic,
            lambda t, init_value, peak_value, up_steps, down_steps, gamma, mode, **_: (
                init_value
                + (peak_value - init_value)
                * triangle(t, up_steps, down_steps)
                * AMPLITUDES[mode](t, t // (up_steps + down_steps), gamma)
            ),
            lambda up_steps, down_steps, **_: [up_steps, up_steps + down_steps],
            fixed={"mode": mode, "scale": None},
            draw={"gamma": lambda rng: float(rng.uniform(0.9, 1))},
        )
        for mode in ("triangular", "triangular2", "exp_range")
    },
    "cyclic with a scale of its own": Curve(
        lrdecay.cyclic,
        lambda t, init_value, peak_value, up_steps, down_steps, **_: (
            init_value + (peak_value - init_value) * triangle(t, up_steps, down_steps) / (1 + t)
        ),
        lambda up_steps, down_steps, **_: [up_steps, up_steps + down_steps],
        fixed={"gamma": 1.0, "scale": lrdecay.inverse_time(1.0, 1)},
    ),
    "table": Curve(
        lrdecay.table,
        lambda t, values: np.array(values)[np.minimum(t, len(values) - 1).astype(int)],
        lambda values: [len(values)],
        draw={"values": lambda rng: [float(np.float32(x)) for x in rng.uniform(0, 1, 5)]},
    ),
    "piecewise_interpolate": Curve(
        lrdecay.piecewise_interpolate,
        lambda t, values, boundaries: np.interp(t, [0, *boundaries], values),
        lambda boundaries, **_: boundaries,
        draw={
            "values": lambda rng: [float(np.float32(x)) for x in rng.uniform(0, 1, 4)],
            "boundaries": lambda rng: sorted(
                map(int, rng.choice(np.arange(1, 100), 3, replace=False))
            ),
        },
    ),
    **{
        f"warmup {shape}": Curve(
            lrdecay.warmup,
            lambda t, schedule, warmup_steps, init_value, shape: trapezoid(
                t,
                lambda s: np.full_like(s, schedule),
                climb=warmup_steps,
                first=init_value,
                warm=lambda x: COOLDOWNS[shape](1 - x, 2.0, 0.1),
            ),
            lambda warmup_steps, **_: [warmup_steps],
            fixed={"shape": shape},
        )
        for shape in ("linear", "cosine", "1-sqrt", "power", "exponential")
    },
    "warmup of a curve": Curve(
        lambda warmup_steps, **rest: lrdecay.warmup(lrdecay.inverse_time(**rest), warmup_steps),
        lambda t, warmup_steps, init_value, decay_steps, decay_rate: np.where(
            t < warmup_steps,
            init_value * part(t, warmup_steps),
            init_value / (1 + decay_rate * np.maximum(t - warmup_steps, 0) / decay_steps),
        ),
        lambda warmup_steps, **_: [warmup_steps],
        fixed={"warmup_steps": 30, "init_value": 0.25, "decay_steps": 7, "decay_rate": 0.5},
    ),
    **{
        f"wsd {shape}": Curve(
            lrdecay.wsd,
            lambda t, stable, stable_steps, decay_steps, warmup_steps, shape, **rest: trapezoid(
                t,
                lambda s: np.full_like(s, stable),
                stable_steps,
                decay_steps,
                warmup_steps,
                rest["init_value"],
                rest["end_value"],
                lambda x: COOLDOWNS[shape](x, rest["exponent"], rest["ratio"]),
            ),
            lambda stable_steps, decay_steps, warmup_steps, **_: [
                warmup_steps,
                warmup_steps + stable_steps,
                warmup_steps + stable_steps + decay_steps,
            ],
            fixed={"shape": shape},
            draw={"exponent": exponent, "ratio": lambda rng: float(rng.uniform(0.01, 0.9))},
        )
        for shape in ("linear", "cosine", "1-sqrt", "power", "exponential")
    },
    "wsd with a falling plain and a cooldown of its own": Curve(
        lrdecay.wsd,
        lambda t, stable_steps, decay_steps, warmup_steps, init_value, end_value, **_: trapezoid(
            t,
            lambda s: 0.5 / np.sqrt(1 + s / 40),
            stable_steps,
            decay_steps,
            warmup_steps,
            init_value,
            end_value,
            lambda x: (1 - x) ** 2,
        ),
        lambda stable_steps, decay_steps, warmup_steps, **_: [
            warmup_steps,
            warmup_steps + stable_steps,
            warmup_steps + stable_steps + decay_steps,
        ],
        fixed={
            "stable": lrdecay.inverse_sqrt(0.5, 40),
            "shape": lambda x: (1 - x) ** 2,
            "exponent": 2.0,
            "ratio": 0.1,
        },
    ),
    "flat_cosine": Curve(
        lrdecay.flat_cosine,
        lambda t, init_value, flat_steps, decay_steps, end_value: np.where(
            t < flat_steps,
            init_value,
            down(
                init_value, end_value, half_cosine(part(np.maximum(t - flat_steps, 0), decay_steps))
            ),
        ),
        lambda flat_steps, decay_steps, **_: [flat_steps, flat_steps + decay_steps],
    ),
    "knee": Curve(
        lrdecay.knee,
        lambda t, peak_value, hold_steps, decay_steps, warmup_steps, end_value: trapezoid(
            t,
            lambda s: np.full_like(s, peak_value),
            hold_steps,
            decay_steps,
            warmup_steps,
            last=end_value,
        ),
        lambda hold_steps, decay_steps, warmup_steps, **_: [
            warmup_steps,
            warmup_steps + hold_steps,
            warmup_steps + hold_steps + decay_steps,
        ],
    ),
    "tri_stage": Curve(
        lrdecay.tri_stage,
        tri_stage,
        lambda warmup_steps, hold_steps, decay_steps, **_: [
            warmup_steps,
            warmup_steps + hold_steps,
            warmup_steps + hold_steps + decay_steps,
        ],
    ),
    **{
        f"one_cycle {shape} in {phases} phases": Curve(
            lrdecay.one_cycle,
            one_cycle,
            lambda warmup_steps, decay_steps, final_steps, **_: [
                warmup_steps,
                warmup_steps + decay_steps,
                warmup_steps + decay_steps + final_steps,
            ],
            fixed={"shape": shape},
            draw={"final_steps": one_of(*((0,) if phases == 2 else (1, 50, 200)))},
        )
        for shape in ("cosine", "linear")
        for phases in (2, 3)
    },
    "slanted_triangular": Curve(
        lrdecay.slanted_triangular,
        lambda t, peak_value, warmup_steps, decay_steps, ratio: trapezoid(
            t,
            lambda s: np.full_like(s, peak_value),
            0,
            decay_steps,
            warmup_steps,
            peak_value / ratio,
            peak_value / ratio,
        ),
        lambda warmup_steps, decay_steps, **_: [warmup_steps, warmup_steps + decay_steps],
    ),
    "join": Curve(
        lambda a, b, c: lrdecay.join([a, lrdecay.linear(b, c, 5), c], [3, 10]),
        lambda t, a, b, c: np.where(
            t < 3, a, np.where(t < 10, down(b, c, 1 - part(np.maximum(t - 3, 0), 5)), c)
        ),
        lambda **_: [3, 8, 10],
        fixed={"a": 0.5, "b": 0.25, "c": 0.125},
    ),
    "product": Curve(
        lambda schedules: lrdecay.product([*schedules, lrdecay.linear(1.0, 0.5, 8)]),
        lambda t, schedules: np.prod(schedules) * (1 - 0.5 * part(t, 8)),
        lambda **_: [8],
        fixed={"schedules": [0.5, 0.25]},
    ),
    "repeat": Curve(
        lambda cycle_steps: lrdecay.repeat(lrdecay.linear(0.5, 0.125, 20), cycle_steps),
        lambda t, cycle_steps: down(0.5, 0.125, 1 - part(t % cycle_steps, 20)),
        lambda cycle_steps: [cycle_steps, 20, 3 * cycle_steps],
        fixed={"cycle_steps": 23},
    ),
    "rescale": Curve(
        lambda old_steps, new_steps, at: lrdecay.rescale(
            lrdecay.linear(0.5, 0.125, 40), old_steps, new_steps, at
        ),
        lambda t, old_steps, new_steps, at: down(
            0.5,
            0.125,
            1 - part(np.interp(t, [0, at, new_steps], [0, at, old_steps]), 40),
        ),
        lambda old_steps, new_steps, at: [at, new_steps],
        fixed={"old_steps": 40, "new_steps": 100, "at": 10},
    ),
}
