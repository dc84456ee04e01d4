"""Keras's formulas in plain Python, at many random settings."""

import bisect
import math

import numpy as np
import pytest
from peers import compare_with, steps, uniform

from lrdecay.compat import keras


def exponential_decay(t, initial_learning_rate, decay_steps, decay_rate, staircase):
    p = t // decay_steps if staircase else t / decay_steps
    return initial_learning_rate * decay_rate**p


def piecewise_constant_decay(t, boundaries, values):
    return values[bisect.bisect_left(boundaries, t)]


def polynomial_decay(t, initial_learning_rate, decay_steps, end_learning_rate, power, cycle):
    horizon = decay_steps * (max(math.ceil(t / decay_steps), 1) if cycle else 1)
    t = t if cycle else min(t, decay_steps)
    left = (horizon - t) / horizon
    return (initial_learning_rate - end_learning_rate) * left**power + end_learning_rate


def inverse_time_decay(t, initial_learning_rate, decay_steps, decay_rate, staircase):
    p = t // decay_steps if staircase else t / decay_steps
    return initial_learning_rate / (1 + decay_rate * p)


def cosine_decay(t, initial_learning_rate, decay_steps, alpha, warmup_target=None, warmup_steps=0):
    peak = initial_learning_rate if warmup_target is None else warmup_target
    if t < warmup_steps:
        return initial_learning_rate + (peak - initial_learning_rate) * t / warmup_steps
    x = min(t - warmup_steps, decay_steps) / decay_steps
    return peak * ((1 - alpha) * 0.5 * (1 + math.cos(math.pi * x)) + alpha)


def cosine_decay_restarts(t, initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha):
    begin, length, cycle = 0.0, first_decay_steps, 0
    while t >= begin + length:
        begin, length, cycle = begin + length, length * t_mul, cycle + 1
    wave = m_mul**cycle * 0.5 * (1 + math.cos(math.pi * (t - begin) / length))
    return initial_learning_rate * ((1 - alpha) * wave + alpha)


def flag(rng):
    return bool(rng.integers(2))


CASES = {
    "ExponentialDecay": (
        exponential_decay,
        lambda r: {
            "decay_steps": steps(r),
            "decay_rate": uniform(r, 0.2, 1),
            "staircase": flag(r),
        },
    ),
    "PolynomialDecay": (
        polynomial_decay,
        lambda r: {
            "decay_steps": steps(r),
            "end_learning_rate": uniform(r, 0, 0.2),
            "power": uniform(r, 0.3, 3),
            "cycle": flag(r),
        },
    ),
    "InverseTimeDecay": (
        inverse_time_decay,
        lambda r: {
            "decay_steps": steps(r),
            "decay_rate": uniform(r, 0.2, 3),
            "staircase": flag(r),
        },
    ),
    "CosineDecay": (
        cosine_decay,
        lambda r: (
            {"decay_steps": steps(r), "alpha": uniform(r, 0, 1)}
            | ({"warmup_target": uniform(r, 0, 1), "warmup_steps": steps(r, 0)} if flag(r) else {})
        ),
    ),
    "CosineDecayRestarts": (
        cosine_decay_restarts,
        lambda r: {
            "first_decay_steps": steps(r),
            "t_mul": float(r.choice([1.0, 1.5, 2.0, 3.0])),
            "m_mul": uniform(r, 0.3, 1),
            "alpha": uniform(r, 0.01, 1),
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_formula_of_keras(name):
    formula, draw = CASES[name]
    compare_with(
        getattr(keras, name), formula, lambda r: {"initial_learning_rate": 0.25, **draw(r)}
    )


def test_piecewise_constants_take_over_one_step_late():
    def draw(rng):
        boundaries = sorted(map(int, rng.choice(np.arange(60), 3, replace=False)))
        return {"boundaries": boundaries, "values": [uniform(rng, 0, 1) for _ in range(4)]}

    compare_with(keras.PiecewiseConstantDecay, piecewise_constant_decay, draw)
