"""timm's formulas in plain Python, at many random settings."""

import math

import numpy as np
import pytest
from peers import compare_with, steps, uniform

from lrdecay.compat import timm

LR = 0.25


def warmed(t, curve, warmup_t, warmup_lr_init, warmup_prefix, target=LR):
    if t < warmup_t:
        return warmup_lr_init + (target - warmup_lr_init) * t / warmup_t
    return curve(t - warmup_t if warmup_prefix else t)


def cycles(t, fall, t_initial, lr_min, cycle_mul, cycle_decay, cycle_limit):
    begin, length, cycle = 0.0, t_initial, 0
    while t >= begin + length:
        begin, length, cycle = begin + length, length * cycle_mul, cycle + 1
    if cycle >= cycle_limit:
        return lr_min
    return lr_min + (LR * cycle_decay**cycle - lr_min) * fall((t - begin) / length)


def cosine(t, warmup, k_decay, **cycle):
    def fall(x):
        return 0.5 * (1 + math.cos(math.pi * x**k_decay))

    return warmed(t, lambda s: cycles(s, fall, **cycle), **warmup)


def poly(t, warmup, power, k_decay, **cycle):
    return warmed(t, lambda s: cycles(s, lambda x: (1 - x**k_decay) ** power, **cycle), **warmup)


def tanh(t, warmup, lb, ub, **cycle):
    def fall(x):
        return 0.5 * (1 - math.tanh(lb * (1 - x) + ub * x))

    def curve(s):
        return cycles(s, fall, **cycle)

    target = LR if warmup["warmup_prefix"] else curve(warmup["warmup_t"])
    return warmed(t, curve, **warmup, target=target)


def step(t, warmup, decay_t, decay_rate):
    return warmed(t, lambda s: LR * decay_rate ** (s // decay_t), **warmup)


def multistep(t, warmup, decay_t, decay_rate):
    return warmed(t, lambda s: LR * decay_rate ** sum(s + 1 >= m for m in decay_t), **warmup)


def wsd(t, warmup, t_initial, decay_t, lr_min, **shape):
    def stable(s):
        power = {"constant": 0.0, "rsqrt": 0.5, "power": shape["stable_power"]}
        scale = shape.get("stable_timescale", warmup["warmup_t"])
        return max(LR * (1 + s / scale) ** -power[shape["stable_fn"]], lr_min)

    def curve(s):
        x = min(max(s - (t_initial - decay_t), 0) / decay_t, 1)
        ratio = shape["decay_ratio"]
        left = {
            "linear": 1 - x,
            "1-sqrt": 1 - math.sqrt(x),
            "cosine": 0.5 * (1 + math.cos(math.pi * x)),
            "power": 1 - x ** shape["decay_power"],
            "exp": (ratio**x - ratio) / (1 - ratio),
        }[shape["decay_fn"]]
        return lr_min + (stable(s) - lr_min) * left

    return warmed(t, curve, warmup["warmup_t"], warmup["warmup_lr_init"], True)


def cycle(r):
    return {
        "t_initial": steps(r, high=30),
        "lr_min": uniform(r, 0, 0.05),
        "cycle_mul": float(r.choice([1.0, 1.5, 2.0, 3.0])),
        "cycle_decay": uniform(r, 0.3, 1),
        "cycle_limit": steps(r, high=5),
    }


def wsd_shape(r):
    total = steps(r, 2, 60)
    return {
        "t_initial": total,
        "decay_t": steps(r, 1, total + 1),
        "lr_min": uniform(r, 0, 0.1),
        "stable_fn": str(r.choice(["constant", "rsqrt", "power"])),
        "stable_power": uniform(r, 0.3, 1),
        "decay_fn": str(r.choice(["linear", "1-sqrt", "cosine", "power", "exp"])),
        "decay_power": uniform(r, 0.3, 3),
        "decay_ratio": uniform(r, 0.05, 0.5),
    } | ({"stable_timescale": steps(r)} if r.integers(2) else {})


CASES = {
    "CosineLRScheduler": (cosine, lambda r: cycle(r) | {"k_decay": uniform(r, 0.5, 2)}),
    "PolyLRScheduler": (
        poly,
        lambda r: cycle(r) | {"power": uniform(r, 0.3, 3), "k_decay": uniform(r, 0.5, 2)},
    ),
    "TanhLRScheduler": (
        tanh,
        lambda r: cycle(r) | {"lb": uniform(r, -8, -1), "ub": uniform(r, 1, 4)},
    ),
    "StepLRScheduler": (step, lambda r: {"decay_t": steps(r), "decay_rate": uniform(r, 0.3, 1)}),
    "MultiStepLRScheduler": (
        multistep,
        lambda r: {
            "decay_t": sorted(steps(r, high=60) for _ in range(3)),
            "decay_rate": uniform(r, 0.3, 1),
        },
    ),
    "WSDLRScheduler": (wsd, wsd_shape),
}
WARMUP = ("warmup_t", "warmup_lr_init", "warmup_prefix")


@pytest.mark.parametrize("name", CASES)
def test_equals_the_formula_of_timm(name):
    formula, draw = CASES[name]

    def draw_with_warmup(r):
        arguments = draw(r) | {"warmup_t": steps(r), "warmup_lr_init": uniform(r, 0, 0.1)}
        return arguments | ({} if "WSD" in name else {"warmup_prefix": bool(r.integers(2))})

    def rate_of(t, **arguments):
        warmup = {k: arguments.pop(k) for k in WARMUP if k in arguments}
        return formula(t, warmup, **arguments)

    compare_with(
        lambda **arguments: getattr(timm, name)(LR, **arguments), rate_of, draw_with_warmup
    )


def test_a_milestone_acts_one_step_early():
    schedule = timm.MultiStepLRScheduler(1.0, [10], 0.5)
    assert [float(schedule(t)) for t in (8, 9, 10)] == [1.0, 0.5, 0.5]


def test_the_peak_is_not_reached_under_a_warmup_that_is_no_prefix():
    schedule = timm.CosineLRScheduler(1.0, 30, warmup_t=5)
    assert max(schedule(t) for t in range(30)) < 0.94


def test_stairs_of_a_decimal_length():
    # The recipe of EfficientNet: by 0.97 every 2.4 epochs.
    schedule = timm.StepLRScheduler(1.0, 2.4, 0.5)
    expected = [0.5 ** (t // 2.4) for t in range(100)]
    np.testing.assert_allclose([schedule(t) for t in range(100)], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"t_initial": 5, "decay_t": 6}, "decay_t must be at most the 5 of t_initial, got 6"),
        ({"t_initial": 5, "decay_t": 2, "stable_fn": "rsqrt"}, "stable_timescale must be given"),
        ({"t_initial": 5, "decay_t": 2, "decay_fn": "sine"}, "decay_fn must be 'linear' or"),
    ],
)
def test_mistakes_in_wsd_are_named(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        timm.WSDLRScheduler(1.0, **arguments)
