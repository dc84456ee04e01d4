"""Every curve that was recorded from the peers themselves, at steps 0 to 39."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrdecay
from lrdecay.compat import hf, keras, optax, timm, torch

RECORDED = json.loads(
    (pathlib.Path(__file__).parent.parent / "data" / "peers_schedules.json").read_text()
)
ROWS = [(peer, row) for peer, rows in RECORDED["curves"].items() for row in rows]
MODULES = {"torch": torch, "keras": keras, "timm": timm, "optax": optax}


def by_torch(name, params):
    if name.endswith(".momentum"):
        params = {k: v for k, v in params.items() if k not in ("base_lr", "max_lr")}
        return getattr(torch, name.replace("LR.momentum", "Momentum"))(**params)
    if name == "SequentialLR":
        first = torch.LinearLR(1.0, 0.1, 1.0, 5)
        return torch.SequentialLR([first, torch.CosineAnnealingLR(1.0, 35)], params["milestones"])
    if name == "ChainedScheduler":
        factors = [torch.ConstantLR(1.0, 0.1, 4), torch.ExponentialLR(1.0, 0.9)]
        return torch.ChainedScheduler(1.0, factors)
    params = {k: v for k, v in params.items() if k != "cycle_momentum"}
    base = {} if "max_lr" in params else {"lr": 1.0}
    return getattr(torch, name)(**base, **params)


def by_hf(name, params):
    common = ("num_warmup_steps", "num_training_steps")
    kwargs = {k: v for k, v in params.items() if k not in common}
    return hf.get_scheduler(name, 1.0, *(params.get(k) for k in common), kwargs)


def by_optax(name, params):
    scales = params.get("boundaries_and_scales")
    if scales is not None:
        params = {**params, "boundaries_and_scales": {int(k): v for k, v in scales.items()}}
    return getattr(optax, name)(**params)


# Where a shape of a smaller library is one of ours.
OURS = {
    "rex": lambda total_steps: lrdecay.rex(1.0, total_steps),
    "inverse_sqrt": lambda warmup_steps: lrdecay.warmup(
        lrdecay.inverse_sqrt(1.0, warmup_steps), warmup_steps
    ),
    "k_decay": lambda total_steps, k: lrdecay.k_decay(1.0, total_steps, k),
    "slanted_triangular": lambda total_steps, cut_frac, ratio: lrdecay.slanted_triangular(
        1.0, int(total_steps * cut_frac), total_steps - int(total_steps * cut_frac), ratio
    ),
    "flat_cosine": lambda total_steps, flat_fraction, min_lr: lrdecay.flat_cosine(
        1.0,
        int(total_steps * flat_fraction),
        total_steps - int(total_steps * flat_fraction),
        min_lr,
    ),
    "exp_hyperbolic": lambda total_steps, upper_bound, min_lr: lrdecay.exp_hyperbolic(
        1.0, total_steps, upper_bound, min_lr
    ),
    "power_decay": lambda total_steps, warmup_steps, alpha: lrdecay.warmup(
        lrdecay.power(1.0, warmup_steps, alpha), warmup_steps
    ),
    "cosine_restarts": lambda base_lr, min_lr, period, t_mult: lrdecay.cosine_restarts(
        base_lr, period, min_lr, t_mult
    ),
    "triangular": lambda min_lr, max_lr, step_size: lrdecay.cyclic(min_lr, max_lr, step_size),
    "warmup_stable_decay": lambda base_lr, warmup_steps, decay_steps, total_steps, **rest: (
        lrdecay.wsd(
            base_lr,
            total_steps - warmup_steps - decay_steps,
            decay_steps,
            warmup_steps,
            rest["warmup_start"],
            rest["final_lr"],
            rest["decay_shape"],
        )
    ),
}


def schedule_of(peer, name, params):
    if peer in ("torch", "hf", "optax"):
        return {"torch": by_torch, "hf": by_hf, "optax": by_optax}[peer](name, params)
    if peer == "keras":
        return getattr(keras, name)(**params)
    if peer == "timm":
        return getattr(timm, name)(1.0, **params)
    return OURS[name](**params)


@pytest.mark.parametrize(
    ("peer", "row"), ROWS, ids=lambda x: x if isinstance(x, str) else x["name"]
)
def test_equals_the_recorded_curve(peer, row):
    steps = jnp.arange(len(row["lrs"]))
    single = peer in ("keras", "optax")  # recorded in float32 there
    found = schedule_of(peer, row["name"], row["params"])(steps)
    np.testing.assert_allclose(found, row["lrs"], rtol=5e-6 if single else 2e-6, atol=1e-8)
    with jax.enable_x64(True):
        found = schedule_of(peer, row["name"], row["params"])(steps)
        if not single:
            np.testing.assert_allclose(found, row["lrs"], rtol=1e-12, atol=1e-15)
