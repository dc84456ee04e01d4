"""PyTorch itself, at many random settings, over three times the horizon."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from peers import SETTINGS, compare, steps, uniform

from lrdecay.compat import torch as compat

torch = pytest.importorskip("torch")
lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")


def share(rng):
    return uniform(rng, 0.05, 1)


# name: (how to draw the arguments, the longest of their durations)
CASES = {
    "StepLR": lambda r: {"step_size": steps(r), "gamma": share(r)},
    "MultiStepLR": lambda r: {
        "milestones": [int(x) for x in r.integers(1, 40, r.integers(1, 5))],
        "gamma": share(r),
    },
    "ConstantLR": lambda r: {"factor": share(r), "total_iters": steps(r)},
    "LinearLR": lambda r: {
        "start_factor": share(r),
        "end_factor": share(r),
        "total_iters": steps(r),
    },
    "ExponentialLR": lambda r: {"gamma": share(r)},
    "PolynomialLR": lambda r: {"total_iters": steps(r), "power": uniform(r, 0.3, 3)},
    "CosineAnnealingLR": lambda r: {"T_max": steps(r), "eta_min": uniform(r, 0, 0.2)},
    "CosineAnnealingWarmRestarts": lambda r: {
        "T_0": int(r.integers(1, 15)),
        "T_mult": int(r.integers(1, 4)),
        "eta_min": uniform(r, 0, 0.2),
    },
}
BASE = 0.25


def trained(scheduler, optimizer, n, read=lambda group: group["lr"]):
    """What PyTorch trains with in n steps, and its closed form where it has one."""
    rates, closed = [], []
    for _ in range(n):
        rates.append(float(read(optimizer.param_groups[0])))
        if hasattr(scheduler, "_get_closed_form_lr"):
            closed.append(float(scheduler._get_closed_form_lr()[0]))
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.step()
    return np.array(rates), np.array(closed)


def sgd(lr=BASE):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)


@pytest.mark.parametrize("name", CASES)
def test_equals_pytorch(name):
    rng = np.random.default_rng(0)
    settings = []
    for _ in range(SETTINGS):
        arguments = CASES[name](rng)
        horizon = max([1, *(v for v in arguments.values() if isinstance(v, int))])
        optimizer = sgd()
        scheduler = getattr(lr_scheduler, name)(optimizer, **arguments)
        rates, closed = trained(scheduler, optimizer, 3 * horizon + 2)
        settings.append((arguments, rates))
        if len(closed):
            settings.append((arguments, closed))
    compare(lambda **arguments: getattr(compat, name)(BASE, **arguments), settings)


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range", "by cycle", "by step"])
def test_cyclic_rate_and_momentum_equal_pytorch(mode):
    rng = np.random.default_rng(0)
    rates, momenta = [], []
    for _ in range(SETTINGS):
        shape = {"step_size_up": steps(rng), "step_size_down": steps(rng)}
        if mode.startswith("by"):
            scale_mode = "cycle" if mode == "by cycle" else "iterations"
            shape |= {"scale_fn": lambda x: 1 / (1 + x), "scale_mode": scale_mode}
        else:
            shape |= {"mode": mode, "gamma": uniform(rng, 0.9, 1)}
        ends = {"base_lr": uniform(rng, 0.001, 0.5), "max_lr": uniform(rng, 0.5, 1)}
        n = 3 * (shape["step_size_up"] + shape["step_size_down"])
        for kept, read in ((rates, "lr"), (momenta, "momentum")):
            optimizer = sgd()
            scheduler = lr_scheduler.CyclicLR(optimizer, **ends, **shape)
            found = trained(scheduler, optimizer, n, lambda group, read=read: group[read])[0]
            kept.append(((ends if read == "lr" else {}) | shape, found))
    compare(compat.CyclicLR, rates, rtol=1e-10)
    compare(compat.CyclicMomentum, momenta, rtol=1e-10)


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("anneal_strategy", ["cos", "linear"])
def test_one_cycle_rate_and_momentum_equal_pytorch(anneal_strategy, three_phase):
    rng = np.random.default_rng(0)
    rates, momenta = [], []
    for _ in range(SETTINGS):
        total = int(rng.integers(5, 80))
        shape = {
            "total_steps": total,
            "pct_start": uniform(rng, 1.5 / total, 0.45),
            "anneal_strategy": anneal_strategy,
            "three_phase": three_phase,
        }
        height = {"div_factor": uniform(rng, 1, 50), "final_div_factor": uniform(rng, 1, 1e4)}
        for kept, read in ((rates, "lr"), (momenta, "momentum")):
            optimizer = sgd()
            scheduler = lr_scheduler.OneCycleLR(optimizer, 0.5, **shape, **height)
            found = trained(scheduler, optimizer, total, lambda group, read=read: group[read])[0]
            kept.append(((height if read == "lr" else {}) | shape, found))
    # Phases end in between steps, at a time that float32 knows to 1e-7 of the whole.
    compare(lambda **a: compat.OneCycleLR(0.5, **a), rates, atol=1e-7, rtol=1e-10)
    compare(compat.OneCycleMomentum, momenta, rtol=1e-10)


def test_one_cycle_stays_where_it_ends():
    schedule = compat.OneCycleLR(0.7, epochs=4, steps_per_epoch=5)
    end = np.float32(0.7) / np.float32(25) / np.float32(1e4)
    assert schedule(19) == schedule(20) == schedule(2**31 - 1) == end


def test_one_cycle_needs_its_length():
    with pytest.raises(ValueError, match="total_steps must be given, or both"):
        compat.OneCycleLR(0.7, epochs=4)


def test_sequences_equal_pytorch():
    rng = np.random.default_rng(0)
    names = ("LinearLR", "StepLR", "CosineAnnealingLR")
    settings = []
    for _ in range(SETTINGS):
        parts = [CASES[name](rng) for name in names]
        ends = sorted(map(int, rng.choice(np.arange(1, 40), 2, replace=False)))
        optimizer = sgd()
        schedulers = [
            getattr(lr_scheduler, n)(optimizer, **a) for n, a in zip(names, parts, strict=True)
        ]
        scheduler = lr_scheduler.SequentialLR(optimizer, schedulers, ends)
        arguments = {f"{i}.{k}": v for i, part in enumerate(parts) for k, v in part.items()}
        settings.append((arguments | {"ends": ends}, trained(scheduler, optimizer, 80)[0]))

    def make(ends, **arguments):
        parts = [
            getattr(compat, name)(
                BASE, **{k[2:]: v for k, v in arguments.items() if k.startswith(str(i))}
            )
            for i, name in enumerate(names)
        ]
        return compat.SequentialLR(parts, ends)

    compare(make, settings)


def test_chains_equal_pytorch():
    rng = np.random.default_rng(0)
    names = ("ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "StepLR")
    settings = []
    for _ in range(SETTINGS):
        parts = {name: CASES[name](rng) for name in names}
        optimizer = sgd()
        schedulers = [getattr(lr_scheduler, k)(optimizer, **v) for k, v in parts.items()]
        scheduler = lr_scheduler.ChainedScheduler(schedulers, optimizer)
        arguments = {f"{n}.{k}": v for n, part in parts.items() for k, v in part.items()}
        settings.append((arguments, trained(scheduler, optimizer, 80)[0]))

    def make(**arguments):
        parts = [
            getattr(compat, name)(
                1.0, **{k.split(".")[1]: v for k, v in arguments.items() if k.startswith(name)}
            )
            for name in names
        ]
        return compat.ChainedScheduler(BASE, parts)

    compare(make, settings)


def test_functions_equal_pytorch():
    optimizer = sgd()
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (1.0 + t))
    expected = trained(scheduler, optimizer, 30)[0]
    schedule = compat.LambdaLR(BASE, lambda t: 1 / (1 + jnp.asarray(t, float)))
    compare(lambda: schedule, [({}, expected)])
