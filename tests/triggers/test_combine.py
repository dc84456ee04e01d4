"""Triggers on the clock, and triggers made of others, against brute force over what each says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from histories import changes, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st

import lrdecay
from lrdecay.triggers import Observation, Reason, Trigger, Verdict

CHANGES = st.lists(st.sampled_from([0, 0, 1, -1]), min_size=20, max_size=20)


def scripted(script, reason=Reason.TRIGGER):
    """A trigger that does in each step what the script says, for the reason given."""
    script = jnp.asarray(script, jnp.int32)

    def update(state, step, observed):
        change = script[jnp.minimum(step, len(script) - 1)]
        return state + 1, Verdict(change, jnp.where(change != 0, int(reason), 0), (change, change))

    return Trigger(lambda: jnp.zeros((), jnp.int32), update, ("value",))


def said(trigger, n=20):
    verdict = verdicts(trigger, np.zeros(n))
    return np.asarray(verdict.change).tolist(), np.asarray(verdict.reason).tolist()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_at_fires_at_the_given_steps_and_nowhere_else(steps):
    fires = np.flatnonzero(verdicts(lrdecay.at(steps), np.zeros(45)).change)
    assert fires.tolist() == sorted(set(steps))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 50))
def test_every_fires_at_the_multiples(steps):
    assert np.flatnonzero(changes("every", np.zeros(45), steps=steps)).tolist() == list(
        range(steps, 45, steps)
    )


@settings(max_examples=25, deadline=None)
@given(a=CHANGES, b=CHANGES, c=CHANGES)
def test_any_of_does_what_the_first_that_does_something_says(a, b, c):
    parts = [scripted(a, Reason.PLATEAU), scripted(b, Reason.STEP), scripted(c, Reason.SLOPE)]
    change, reason = said(lrdecay.any_of(parts))
    for i, now in enumerate(zip(a, b, c, strict=True)):
        who = next((k for k in range(3) if now[k] != 0), None)
        assert change[i] == (0 if who is None else now[who])
        assert reason[i] == (0 if who is None else (Reason.PLATEAU, Reason.STEP, Reason.SLOPE)[who])


@settings(max_examples=25, deadline=None)
@given(a=CHANGES, b=CHANGES)
def test_all_of_waits_for_the_last_and_then_for_all_again(a, b):
    change, reason = said(lrdecay.all_of([scripted(a, Reason.PLATEAU), scripted(b, Reason.STEP)]))
    fired = [False, False]
    for i, now in enumerate(zip(a, b, strict=True)):
        fired = [f or n == 1 for f, n in zip(fired, now, strict=True)]
        assert change[i] == all(fired)
        if all(fired):
            assert reason[i] == (Reason.PLATEAU if now[0] == 1 else Reason.STEP)
            fired = [False, False]
        else:
            assert reason[i] == 0


@settings(max_examples=25, deadline=None)
@given(script=CHANGES, most=st.integers(1, 6))
def test_at_most_falls_silent_after_so_many_fires(script, most):
    change, reason = said(lrdecay.at_most(scripted(script, Reason.PLATEAU), most))
    left = most
    for i, now in enumerate(script):
        assert change[i] == (now if left > 0 else 0)
        assert (reason[i] != 0) == (change[i] != 0)
        left -= now == 1


def test_operators_are_any_of_and_all_of():
    a, b = [0, 1, 0, 1, 0, 0], [0, 0, 1, 1, 0, 1]
    first, second = scripted(a), scripted(b)
    assert said(first | second, 6)[0] == [0, 1, 1, 1, 0, 1]
    assert said(first & second, 6)[0] == [0, 0, 1, 1, 0, 0]


def test_each_part_hears_the_metrics_that_it_watches():
    accuracy = lrdecay.plateau(patience=2, mode="max", monitor="accuracy")
    loss = lrdecay.plateau(patience=3)
    both = accuracy | loss | lrdecay.decline(monitor="accuracy")
    assert both.monitors == ("accuracy", "value")

    def step(state, observed):
        return both.update(state, jnp.int32(0), observed)

    def heard(values):
        present = jnp.ones(len(values), bool)
        return Observation(jnp.asarray(values), present, jnp.zeros(len(values), jnp.int32))

    observed = {"accuracy": heard([0.5] * 6), "value": heard([3.0, 2.0, 2.0, 2.0, 2.0, 2.0])}
    _, verdict = jax.lax.scan(step, both.init(), observed)
    assert np.flatnonzero(verdict.change).tolist() == [2, 4]
    assert verdict.reason[2] == Reason.PLATEAU


def test_combinations_nest_and_hold_in_a_schedule():
    when = lrdecay.at_most(lrdecay.every(3) | lrdecay.at([4]), 3) & lrdecay.at([1, 5])
    schedule = lrdecay.loss_aware(1.0, when=when, how=lrdecay.multiply(0.5))
    state, seen = schedule.init(), []
    for _ in range(10):
        seen.append(float(schedule(state)))
        state = schedule.update(state)
    # Fires at 3 (1 came before) and at 5 (4 came before); a third one, at 6, waits for good.
    assert seen == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("combine", [lrdecay.any_of, lrdecay.all_of])
def test_nothing_to_combine_is_refused(combine):
    for parts in ((), (lrdecay.plateau(), "plateau")):
        with pytest.raises(TypeError, match="triggers"):
            combine(parts)


def test_at_without_steps_is_refused():
    with pytest.raises(ValueError, match="steps must have at least one step, got none"):
        lrdecay.at([])
