"""The plateau against the decisions of others, a brute-force reference, and its hard cases."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from controllers import TRACES, recorded
from examples import rates
from hypothesis import given, settings
from hypothesis import strategies as st

import lrdecay


def factors(values, **arguments):
    """The factor in each step, one value a step, and in the step after the last."""
    schedule = lrdecay.loss_aware(1.0, when=lrdecay.plateau(**arguments), how=lrdecay.multiply(0.5))
    return np.asarray(rates(schedule, jnp.asarray([*values, 0.0], jnp.float32))[1])


def fires_at(values, **arguments):
    """Indices of the observations that make the trigger fire."""
    return np.flatnonzero(np.diff(factors(values, **arguments)) < 0).tolist()


def reference(values, patience, rtol, atol, cooldown, window, mode, convention="optax"):
    """The rule as one would write it down, in Python and float64."""
    best, bad, cooling, fired = None, 0, 0, []
    count = {"optax": patience, "torch": patience + 1, "keras": max(patience, 1)}[convention]
    rest = max(cooldown - 1, 0) if convention == "keras" else cooldown
    for end in range(window, len(values) + 1, window):
        mean = float(np.mean(values[end - window : end]))
        value = mean if mode == "min" else -mean
        margin = 0.0 if best is None else rtol * abs(best) + atol
        if best is None or value < best - margin:
            best, bad = value, 0
        elif cooling == 0:
            bad += 1
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        if bad >= count:
            fired.append(end - 1)
            bad, cooling = 0, rest
    return fired


@functools.partial(jax.jit, static_argnames=("mode", "convention"))
def factors_traced(values, mode, convention, **arguments):
    schedule = lrdecay.loss_aware(
        1.0,
        when=lrdecay.plateau(mode=mode, convention=convention, **arguments),
        how=lrdecay.multiply(0.5),
    )
    return rates(schedule, values)[1]


@settings(max_examples=300, deadline=None)
@given(
    # Multiples of 1/8 are exact in float32, so that ties are ties in both.
    values=st.lists(st.integers(-16, 16).map(lambda k: k / 8), min_size=40, max_size=40),
    patience=st.integers(1, 4),
    rtol=st.sampled_from([0.0, 0.125, 0.5]),
    atol=st.sampled_from([0.0, 0.125]),
    cooldown=st.integers(0, 3),
    window=st.sampled_from([1, 2, 4]),
    mode=st.sampled_from(["min", "max"]),
    convention=st.sampled_from(["optax", "torch", "keras"]),
)
def test_equals_the_rule_written_down(values, **arguments):
    seen = factors_traced(jnp.asarray([*values, 0.0], jnp.float32), **arguments)
    assert np.flatnonzero(np.diff(seen) < 0).tolist() == reference(values, **arguments)


def as_torch(p):
    relative = p["threshold_mode"] == "rel"
    margins = {"rtol": p["threshold"] * relative, "atol": p["threshold"] * (not relative)}
    # PyTorch leaves out cuts by less than 1e-8, which is below 2^-26 here.
    return margins | {"mode": p["mode"], "window": 1}, max(p["min_lr"], 2**-26)


def as_keras(p):
    return {"rtol": 0.0, "atol": p["min_delta"], "mode": p["mode"], "window": 1}, 0.0


def as_optax(p):
    margins = {"rtol": p["rtol"], "atol": p["atol"]}
    return margins | {"mode": "min", "window": p["accumulation_size"]}, p["min_scale"]


# Where the peer's rule is not ours, on purpose. Ours leaves NaN and infinite values out; in the
# peers a NaN or an infinity is a bad observation, or the best for ever. A relative margin around a
# best value below zero points the wrong way in them, so that what is worse counts as better.
DIVERGES = {
    "torch": {"nan_first", "nan_mid", "inf_first", "negative rel", "zero_cross rel"},
    "keras": {"nan_first", "nan_mid", "inf_first"},
    "optax": {"nan_first", "nan_mid", "inf_first", "zero_cross rel"},
}


@pytest.mark.parametrize(
    ("peer", "ours"), [("torch", as_torch), ("keras", as_keras), ("optax", as_optax)]
)
def test_decides_as_its_peers_did_except_where_they_are_wrong(peer, ours):
    agree = collections.defaultdict(list)
    for name, params, lrs in recorded(f"{peer}_plateau"):
        arguments, floor = ours(params)
        trace = TRACES[name]
        # All of one length, which is one program: what comes after cannot matter.
        seen = factors_traced(
            jnp.asarray(np.pad(trace, (0, 41 - len(trace)))),
            convention=peer,
            patience=params["patience"],
            cooldown=params["cooldown"],
            **arguments,
        )
        assert params["factor"] == 0.5
        relative = " rel" if arguments["rtol"] > 0 and np.all(np.isfinite(trace)) else ""
        rates_after = np.maximum(seen[1 : len(trace) + 1], floor)
        agree[name + relative].append(np.allclose(rates_after, lrs, rtol=1e-6))
    assert {name for name, same in agree.items() if not all(same)} == DIVERGES[peer]


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(st.integers(1, 24).map(lambda k: k / 8), min_size=40, max_size=40),
    patience=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 0.125, 0.5]),
    relative=st.booleans(),
    cooldown=st.integers(0, 3),
    mode=st.sampled_from(["min", "max"]),
)
def test_decides_as_pytorch_does(values, patience, threshold, relative, cooldown, mode):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode=mode,
        factor=0.5,
        patience=patience,
        threshold=threshold,
        threshold_mode="rel" if relative else "abs",
        cooldown=cooldown,
        eps=0.0,
    )
    expected = []
    for value in values:
        theirs.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    seen = factors_traced(
        jnp.asarray([*values, 0.0], jnp.float32),
        mode,
        "torch",
        patience=patience,
        rtol=threshold if relative else 0.0,
        atol=0.0 if relative else threshold,
        cooldown=cooldown,
        window=1,
    )
    np.testing.assert_array_equal(seen[1:], np.asarray(expected, np.float32))


def test_patience_of_zero_is_refused_where_it_means_nothing():
    assert fires_at([1.0] * 4, patience=0, convention="torch") == [1, 2, 3]
    assert fires_at([1.0] * 4, patience=0, convention="keras") == [1, 2, 3]
    with pytest.raises(ValueError, match="patience must be an integer of at least 1, got 0"):
        lrdecay.plateau(patience=0)


@pytest.mark.parametrize("level", [1.0, 0.0, -1.0])
def test_a_flat_metric_fires_at_every_patience_whatever_its_sign(level):
    assert fires_at([level] * 10, patience=3) == [3, 6, 9]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_worsening_negative_metric_is_no_improvement(mode):
    worse = np.linspace(-1, -0.9, 9) if mode == "min" else np.linspace(-1, -1.1, 9)
    assert fires_at(worse, patience=4, rtol=1e-3, mode=mode) == [4, 8]


def test_patience_of_one_never_fires_while_the_metric_improves():
    assert fires_at(np.linspace(2, 1, 20), patience=1) == []


def test_waits_the_cooldown_and_then_the_patience():
    assert fires_at([1.0] * 16, patience=2, cooldown=3) == [2, 7, 12]


def test_the_window_averages_noise_away():
    falling = np.linspace(2, 1, 40) + 0.3 * np.tile([1.0, -1.0, -1.0, 1.0], 10)
    assert fires_at(falling, patience=2, window=1) != []
    assert fires_at(falling, patience=2, window=4) == []


def test_one_spike_does_not_freeze_the_best():
    values = [1.0, np.inf, -np.inf, np.nan, 0.9, 0.8, 0.7, 0.6]
    assert fires_at(values, patience=2) == []


def test_an_extreme_finite_value_does_not_break_the_state():
    huge = np.finfo(np.float32).max
    schedule = lrdecay.loss_aware(1.0, when=lrdecay.plateau(), how=lrdecay.multiply())
    state = schedule.init()
    for value in (huge, huge, -huge, 1.0):
        state = lrdecay.observe(state, value=value)
    state = schedule.update(state, value=None)
    for leaf in jax.tree.leaves(schedule.memory(state).trigger):
        assert not np.isnan(leaf)
    assert state.memory.nonfinite == 1  # two of them add up to infinity


def test_restored_with_a_smaller_patience_it_still_fires():
    flat = jnp.ones(8)
    patient = lrdecay.loss_aware(1.0, when=lrdecay.plateau(patience=20), how=lrdecay.multiply(0.5))
    state, _ = rates(patient, flat)
    hasty = lrdecay.loss_aware(1.0, when=lrdecay.plateau(patience=3), how=lrdecay.multiply(0.5))
    state = hasty.update(state, value=1.0)
    assert hasty(state) == 0.5


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match="mode must be 'min' or 'max', got 'lower'"):
        lrdecay.plateau(mode="lower")
