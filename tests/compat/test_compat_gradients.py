"""The gradient of every peer's schedule in every continuous hyperparameter."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from examples import value_for

import lrdecay
from lrdecay.arguments import number
from lrdecay.compat import hf, keras, optax, timm, torch

pytestmark = pytest.mark.usefixtures("compiled_quickly")

CONSTRUCTORS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for module in (hf, keras, optax, timm, torch)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}

# Arguments beside the required numbers and the defaults: what is no number, or is left out.
STEPS = {"boundaries_and_scales": {5: 0.5, 20: 0.3}}
INNER = {"schedulers": [torch.ExponentialLR(0.25, 0.9), lrdecay.cosine(0.25, 9)]}
MORE = {
    "hf.get_scheduler": [{"name": "cosine", "num_warmup_steps": 3, "num_training_steps": 20}],
    "hf.get_cosine_with_min_lr_schedule_with_warmup": [{"min_lr": 0.01}, {"min_lr_rate": 0.1}],
    "hf.get_cosine_with_min_lr_schedule_with_warmup_lr_rate": [
        {"min_lr": 0.01, "warmup_lr_rate": 0.1},
        {"min_lr_rate": 0.1},
    ],
    "hf.get_wsd_schedule": [
        {"num_stable_steps": 9, "warmup_type": shape, "decay_type": shape}
        for shape in ("linear", "cosine", "1-sqrt")
    ],
    "keras.CosineDecay": [{"warmup_target": 0.5, "warmup_steps": 3}],
    "keras.ExponentialDecay": [{"staircase": s} for s in (False, True)],
    "keras.InverseTimeDecay": [{"staircase": s} for s in (False, True)],
    "keras.PiecewiseConstantDecay": [{"boundaries": [5], "values": [0.5, 0.1]}],
    "keras.PolynomialDecay": [{"cycle": c, "power": p} for c in (False, True) for p in (0.5, 1.0)],
    "optax.exponential_decay": [{"end_value": 0.01, "staircase": s} for s in (False, True)],
    "optax.piecewise_constant_schedule": [STEPS],
    "optax.piecewise_interpolate_schedule": [
        STEPS | {"interpolate_type": shape} for shape in ("linear", "cosine")
    ],
    "optax.sgdr_schedule": [
        {"cosine_kwargs": [{"init_value": 0.0, "peak_value": 0.5, "decay_steps": 9} | WARM]}
        for WARM in ({"warmup_steps": 3}, {"warmup_steps": 0})
    ],
    "optax.warmup_exponential_decay_schedule": [{"end_value": 0.01}],
    "timm.CosineLRScheduler": [{"warmup_t": 3, "cycle_limit": n} for n in (1, 3)],
    "timm.PolyLRScheduler": [{"warmup_t": 3, "cycle_limit": n} for n in (1, 3)],
    "timm.TanhLRScheduler": [{"lb": -7.0, "ub": 3.0, "cycle_limit": n} for n in (1, 3)],
    "timm.WSDLRScheduler": [
        {"stable_fn": stable, "decay_fn": decay, "warmup_t": 3, "t_initial": 30}
        for stable, decay in zip(
            ("constant", "rsqrt", "power", "constant", "constant"),
            ("linear", "1-sqrt", "cosine", "power", "exp"),
            strict=True,
        )
    ],
    "torch.ChainedScheduler": [INNER],
    "torch.CyclicLR": [
        {"step_size_up": 5, "mode": m} for m in ("triangular", "triangular2", "exp_range")
    ],
    "torch.CyclicMomentum": [{"step_size_up": 5}],
    "torch.LambdaLR": [{"lr_lambda": lrdecay.cosine(1.0, 9)}],
    "torch.OneCycleLR": [
        {"total_steps": 20, "anneal_strategy": s, "three_phase": t}
        for s in ("cos", "linear")
        for t in (False, True)
    ],
    "torch.OneCycleMomentum": [{"total_steps": 20}],
    "torch.SequentialLR": [INNER | {"milestones": [5]}],
}


def cases():
    for name, make in CONSTRUCTORS.items():
        required = {
            p.name: value_for(number(p.annotation)) if p.default is p.empty else p.default
            for p in inspect.signature(make).parameters.values()
            if number(p.annotation) is not None
        }
        for i, more in enumerate(MORE.get(name, [{}])):
            yield pytest.param(make, required | more, id=f"{name}-{i}")


@pytest.mark.parametrize(("make", "arguments"), list(cases()))
def test_gradients_are_finite_everywhere_also_inside_joins(make, arguments):
    parameters = inspect.signature(make).parameters
    marks = {k: number(parameters[k].annotation) for k in arguments}
    reals = {
        k: jnp.asarray(v, jnp.float32)
        for k, v in arguments.items()
        if v is not None and marks[k] is not None and marks[k].kind is float
    }
    rest = {k: v for k, v in arguments.items() if k not in reals}
    assert reals or "lr" not in parameters

    def rate(reals, t):
        schedule = make(**rest, **reals)
        return schedule(t) + lrdecay.join([0.1, schedule, schedule], [5, 20])(t)

    steps = jnp.asarray([*range(64), 1000, 10**8, 2**31 - 1], jnp.int32)
    found = jax.jit(jax.vmap(jax.grad(rate), (None, 0)))(reals, steps)
    for parameter, gradient in found.items():
        wrong = ~np.isfinite(np.asarray(gradient)).reshape(len(steps), -1).all(1)
        assert not np.any(wrong), (parameter, steps[wrong].tolist(), arguments)
