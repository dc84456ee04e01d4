"""The loss-aware schedulers of other libraries, against their own recorded and live decisions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from controllers import TRACES, recorded
from examples import rates
from hypothesis import given, settings
from hypothesis import strategies as st

from lrdecay.compat import plateau


@functools.partial(jax.jit, static_argnames=("name", "words"))
def _rates(name, values, words, numbers):
    return rates(getattr(plateau, name)(**dict(words), **numbers), values)[1]


def rates_of(name, values, **arguments):
    """The rate after each observation."""
    words = tuple((k, v) for k, v in arguments.items() if isinstance(v, str))
    numbers = {k: v for k, v in arguments.items() if not isinstance(v, str)}
    # All of one length, which is one program: what comes after cannot matter.
    padded = np.pad(np.asarray(values, np.float32), (0, 61 - len(values)))
    return np.asarray(_rates(name, jnp.asarray(padded), words, numbers))[1 : len(values) + 1]


PEERS = {
    "torch_plateau": "torch_reduce_lr_on_plateau",
    "keras_plateau": "keras_reduce_lr_on_plateau",
    "optax_plateau": "optax_reduce_on_plateau",
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("trace", ["flat", "noisy", "spike"])
def test_rates_are_those_recorded(peer, trace):
    cases = [(params, lrs) for name, params, lrs in recorded(peer) if name == trace]
    assert cases
    for params, lrs in cases:
        seen = rates_of(PEERS[peer], TRACES[trace], lr=1.0, **params)
        np.testing.assert_allclose(seen, lrs, rtol=1e-6, err_msg=str(params))


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.integers(1, 24).map(lambda k: k / 8), min_size=60, max_size=60),
    lr=st.sampled_from([1.0, 3e-3, 1e-7]),
    mode=st.sampled_from(["min", "max"]),
    factor=st.sampled_from([0.1, 0.5, 0.95]),
    patience=st.integers(0, 2),
    threshold=st.sampled_from([0.0, 0.125]),
    threshold_mode=st.sampled_from(["rel", "abs"]),
    cooldown=st.integers(0, 2),
    min_lr=st.sampled_from([0.0, 1e-4, 0.3]),
    eps=st.sampled_from([0.0, 1e-8, 3e-4]),
)
def test_the_rate_is_that_of_pytorch(values, lr, **arguments):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **arguments)
    expected = []
    for value in values:
        theirs.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    seen = rates_of("torch_reduce_lr_on_plateau", values, lr=lr, **arguments)
    np.testing.assert_allclose(seen, expected, rtol=2e-5, atol=1e-30)


# Where Transformers' rates are not ours, on purpose: after its limit of 2 or 4 it goes down from
# there, and not along the powers that it came up by; at its lower limit it starts all over again
# (reset_start); and it smooths by a sliding mean.
GREEDY_DIVERGES = {
    ("noisy", 4.0, False),
    ("zero_cross rel", 4.0, False),
    ("flat", 2.0, True),
    ("spike", 2.0, True),
    ("negative", 2.0, True),
    ("zero_cross", 2.0, True),
}


def test_greedy_rates_are_those_recorded_up_to_its_limits():
    differ, same = set(), 0
    for name, params, lrs in recorded("hf_greedy"):
        known = {
            k: v for k, v in params.items() if k not in ("smooth", "window_size", "reset_start")
        }
        seen = rates_of("hf_greedy", TRACES[name], lr=1.0, **known)
        if np.allclose(seen, lrs, rtol=1e-5):
            same += 1
            continue
        smooth = params.get("smooth", False)
        relative = " rel" if params.get("threshold_mode") == "rel" else ""
        differ.add((name + relative, params["max_lr"], smooth))
        if not smooth and not relative:
            # The same up to the limit, and going the same way after it.
            limit = np.argmax(lrs == params["max_lr"])
            np.testing.assert_allclose(seen[: limit + 1], lrs[: limit + 1], rtol=1e-5)
            moves = np.sign(np.diff(lrs[:24])), np.sign(np.diff(seen[:24]))
            np.testing.assert_array_equal(*moves)
    assert differ == GREEDY_DIVERGES
    assert same == 10


def test_greedy_below_its_lower_limit_only_goes_up_as_transformers_does():
    # Transformers' default min_lr of 1e-3 is above this rate.
    falling_then_flat = [3.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    seen = rates_of("hf_greedy", falling_then_flat, lr=5e-5, factor=0.5, patience=1)
    np.testing.assert_allclose(seen[:3], [5e-5, 1e-4, 1e-4], rtol=1e-6)
