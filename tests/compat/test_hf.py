"""The formulas of Transformers in plain Python, at many random settings."""

import math

import numpy as np
import pytest
from peers import compare_with, steps, uniform

from lrdecay.compat import hf

LR = 0.25


def climb(t, w):
    return t / max(1, w)


def progress(t, w, total):
    return (t - w) / max(1, total - w)


def wave(x, cycles):
    return 0.5 * (1 + math.cos(math.pi * cycles * 2 * x))


def linear(t, w, total):
    return climb(t, w) if t < w else max(0.0, (total - t) / max(1, total - w))


def cosine(t, w, total, num_cycles):
    return climb(t, w) if t < w else max(0.0, wave(progress(t, w, total), num_cycles))


def restarts(t, w, total, num_cycles):
    if t < w:
        return climb(t, w)
    x = progress(t, w, total)
    return 0.0 if x >= 1 else 0.5 * (1 + math.cos(math.pi * ((num_cycles * x) % 1)))


def polynomial(t, w, total, lr_end, power):
    if t < w:
        return climb(t, w)
    if t > total:
        return lr_end / LR
    return ((LR - lr_end) * ((total - t) / (total - w)) ** power + lr_end) / LR


def constant(t, w):
    return min(climb(t, w), 1.0) if t < w else 1.0


def inverse_sqrt(t, w, timescale=None):
    timescale = timescale or w or 10_000
    return climb(t, w) if t < w else 1 / math.sqrt((t + timescale - w) / timescale)


def min_lr(t, w, total, num_cycles, **end):
    rate = end["min_lr"] / LR if "min_lr" in end else end["min_lr_rate"]
    return climb(t, w) if t < w else wave(progress(t, w, total), num_cycles) * (1 - rate) + rate


def ahead(t, w, total, num_cycles, min_lr_rate, warmup_lr_rate=None):
    if t < w:
        if warmup_lr_rate is None:
            return (t + 1) / max(1, w)
        return warmup_lr_rate + (1 - warmup_lr_rate) * t / max(1, w - 1)
    x = (t - w + 1) / max(1, total - w)
    return wave(x, num_cycles) * (1 - min_lr_rate) + min_lr_rate


def wsd(t, w, num_stable_steps, num_decay_steps, min_lr_ratio, num_cycles, **kinds):
    if t < w:
        x = t / w
        factor = {
            "linear": x,
            "cosine": 0.5 * (1 - math.cos(math.pi * x)),
            "1-sqrt": 1 - math.sqrt(1 - x),
        }[kinds["warmup_type"]]
        return factor * (1 - min_lr_ratio) + min_lr_ratio
    if t < w + num_stable_steps:
        return 1.0
    x = (t - w - num_stable_steps) / max(1, num_decay_steps)
    if x >= 1 or num_decay_steps == 0:
        return min_lr_ratio
    factor = {"linear": 1 - x, "cosine": wave(x, num_cycles), "1-sqrt": 1 - math.sqrt(x)}
    return factor[kinds["decay_type"]] * (1 - min_lr_ratio) + min_lr_ratio


def lengths(r):
    w = steps(r, 0, 20)
    return {"num_warmup_steps": w, "num_training_steps": w + steps(r, 1, 60)}


def waves(r):
    return {"num_cycles": float(r.choice([0.5, 1.0, 1.5, 2.0]))}


CASES = {
    "constant_with_warmup": (constant, lambda r: {"num_warmup_steps": steps(r, 0)}),
    "linear": (linear, lengths),
    "cosine": (cosine, lambda r: lengths(r) | waves(r)),
    "cosine_with_restarts": (restarts, lambda r: lengths(r) | {"num_cycles": steps(r, 1, 6)}),
    "polynomial": (
        polynomial,
        lambda r: lengths(r) | {"lr_end": uniform(r, 0, 0.1), "power": uniform(r, 0.3, 3)},
    ),
    "inverse_sqrt": (
        inverse_sqrt,
        lambda r: (
            {"num_warmup_steps": steps(r, 0)} | ({"timescale": steps(r)} if r.integers(2) else {})
        ),
    ),
    "cosine_with_min_lr": (
        min_lr,
        lambda r: (
            lengths(r) | waves(r) | {r.choice(["min_lr", "min_lr_rate"]): uniform(r, 0.01, 0.2)}
        ),
    ),
    "cosine_warmup_with_min_lr": (
        ahead,
        lambda r: (
            lengths(r)
            | waves(r)
            | {"min_lr_rate": uniform(r, 0.01, 1)}
            | ({"warmup_lr_rate": uniform(r, 0, 1)} if r.integers(2) else {})
        ),
    ),
    "warmup_stable_decay": (
        wsd,
        lambda r: (
            waves(r)
            | {
                "num_warmup_steps": steps(r, 0, 20),
                "num_stable_steps": steps(r, 0, 20),
                "num_decay_steps": steps(r, 0, 30),
                "warmup_type": str(r.choice(["linear", "cosine", "1-sqrt"])),
                "decay_type": str(r.choice(["linear", "cosine", "1-sqrt"])),
                "min_lr_ratio": uniform(r, 0.01, 1),
            }
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_formula_of_transformers(name):
    formula, draw = CASES[name]

    def rate_of(t, num_warmup_steps, num_training_steps=None, **rest):
        total = [] if num_training_steps is None else [num_training_steps]
        return LR * formula(t, num_warmup_steps, *total, **rest)

    compare_with(lambda **arguments: hf.NAMES[name](LR, **arguments), rate_of, draw)


def test_a_scheduler_by_its_name():
    kwargs = {"num_cycles": 3}
    by_name = hf.get_scheduler("cosine_with_restarts", LR, 5, 35, kwargs)
    by_function = hf.get_cosine_with_hard_restarts_schedule_with_warmup(LR, 5, 35, 3)
    assert [by_name(t) for t in range(40)] == [by_function(t) for t in range(40)]
    assert hf.get_scheduler("constant", LR)(7) == LR
    with pytest.raises(ValueError, match="name must be one of linear, cosine"):
        hf.get_scheduler("cosin", LR, 5, 35)
    with pytest.raises(TypeError, match="num_training_steps"):
        hf.get_scheduler("cosine", LR, 5)


def test_a_warmup_longer_than_the_training_still_climbs_to_the_base_rate():
    for t, expected in ((5, 0.5), (9, 0.9), (10, 0.0), (11, 0.0)):
        schedule = hf.get_linear_schedule_with_warmup(1.0, 10, 8)
        np.testing.assert_allclose(schedule(t), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: hf.get_polynomial_decay_schedule_with_warmup(0.1, 1, 9, lr_end=0.2),
            "lr_end must be below the 0.1 of lr, got 0.2",
        ),
        (
            lambda: hf.get_cosine_with_min_lr_schedule_with_warmup(0.1, 1, 9),
            "min_lr or min_lr_rate must be given",
        ),
        (lambda: hf.get_wsd_schedule(0.1, 1, 9), "num_training_steps or num_stable_steps must"),
        (lambda: hf.get_wsd_schedule(0.1, 5, 9, 10), "num_training_steps must be at least the 14"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
