"""The laws, over everything registered: each part becomes a stateful schedule, and is told numbers.

What is registered is tested: a new name gets every test here by its line in the registry.
"""

import functools
import inspect

import chex
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest
from examples import PARTS, arguments_of, numbers_of, rates, stateful, value_for
from hypothesis import given, settings
from hypothesis import strategies as st

import lrdecay
from lrdecay.arguments import number
from lrdecay.loss_aware_schedule import advance
from lrdecay.registry import factory

NOISY = np.random.default_rng(0).normal(size=40).astype(np.float32)
FALLING_THEN_FLAT = np.concatenate([np.linspace(2, 1, 20), np.ones(20)]).astype(np.float32)
NONFINITE = (np.nan, np.inf, -np.inf)

every_part = pytest.mark.parametrize(("kind", "name"), PARTS, ids=lambda x: x)

# What a state does with what it hears is the same for all schedules of the step alone: one of them
# does.
HEARING = [
    (kind, name)
    for kind, name in PARTS
    if name == "cosine" or not factory(kind, name).__module__.startswith("lrdecay.schedules.")
]
every_hearing_part = pytest.mark.parametrize(("kind", "name"), HEARING, ids=lambda x: x)


@functools.cache
def scan(kind, name):
    """values, f32[n] -> the state and the rates, by one program for all tests of a part."""
    return jax.jit(functools.partial(rates, stateful(kind, name)))


@functools.cache
def step(kind, name):
    """(state, value) -> the rate and the state after it, by one program for all tests of a part."""
    schedule = stateful(kind, name)
    return jax.jit(lambda state, value: advance(schedule, state, value=value))


@functools.cache
def silent_step(kind, name):
    """state -> the state after a step without a value, which takes the place of the one before."""
    schedule = stateful(kind, name)
    return jax.jit(lambda state: schedule.update(state, value=None), donate_argnums=0)


def loop(step, state, values):
    """The oracle of the scan: one step after another, called from Python."""
    seen = []
    for value in values:
        rate, state = step(state, value)
        seen.append(np.asarray(rate))
    return state, np.stack(seen)


@every_part
def test_satisfies_the_protocol_of_optax(kind, name):
    assert isinstance(stateful(kind, name), optax.schedules.StatefulSchedule)


@every_part
def test_scan_equals_a_python_loop(kind, name):
    """The first steps outside of jit, the others each by a call of a compiled one."""
    state, seen = scan(kind, name)(NOISY)
    schedule = stateful(kind, name)

    def eager_step(state, value):
        return advance(schedule, state, value=value)

    expected_state, first = loop(eager_step, schedule.init(), NOISY[:10])
    expected_state, others = loop(step(kind, name), expected_state, NOISY[10:])
    np.testing.assert_allclose(seen, [*first, *others], rtol=1e-6)
    chex.assert_trees_all_close(state, expected_state, rtol=1e-6)


@every_hearing_part
def test_pure(kind, name):
    schedule = stateful(kind, name)
    state = schedule.update(schedule.init(), value=1.0)
    before = jax.tree.map(np.array, state)
    first = (schedule(state), schedule.update(state, value=2.0))
    second = (schedule(state), schedule.update(state, value=2.0))
    chex.assert_trees_all_equal(first, second)
    chex.assert_trees_all_equal(before, state)


@every_hearing_part
def test_state_keeps_its_shapes_and_dtypes(kind, name):
    schedule = stateful(kind, name)
    state = schedule.init()
    for leaf in jax.tree.leaves(state):
        assert leaf.dtype in (jnp.float32, jnp.int32)
    assert jax.eval_shape(schedule, state).dtype == jnp.float32
    for dtype in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.int32):
        after = jax.eval_shape(lambda s, v: schedule.update(s, value=v), state, jnp.ones((), dtype))
        chex.assert_trees_all_equal_shapes_and_dtypes(after, state)


@every_part
def test_one_compilation(kind, name):
    state = stateful(kind, name).init()
    for value in (*NOISY[:5], np.float32(np.nan)):
        _, state = step(kind, name)(state, value)
        state = lrdecay.observe(state, **dict.fromkeys(lrdecay.watched(state), 1.0))
    assert step(kind, name)._cache_size() == 1


@every_hearing_part
def test_the_first_state_may_be_donated(kind, name):
    assert silent_step(kind, name)(stateful(kind, name).init()).memory.count == 1


@every_part
def test_rates_are_finite_and_not_negative_to_twice_the_horizon(kind, name):
    for values in (FALLING_THEN_FLAT, NOISY, -NOISY, 0 * NOISY, 1e30 * NOISY):
        _, seen = scan(kind, name)(values)
        assert np.all(np.isfinite(seen))
        assert np.all(np.asarray(seen) >= 0)


@every_hearing_part
def test_the_rate_of_a_step_does_not_know_its_own_value(kind, name):
    _, seen = scan(kind, name)(FALLING_THEN_FLAT)
    for t in (0, 20, 30):
        changed = np.where(np.arange(40) < t, FALLING_THEN_FLAT, np.float32(np.nan))
        np.testing.assert_array_equal(scan(kind, name)(changed)[1][: t + 1], seen[: t + 1])


@every_hearing_part
@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(-1e3, 1e3, width=32), st.sampled_from(NONFINITE)),
        min_size=1,
        max_size=30,
    )
)
def test_nonfinite_values_are_counted_and_otherwise_as_if_they_had_not_come(kind, name, values):
    if name == "divergence":
        pytest.skip("fires on them: tests/triggers/test_divergence.py")
    told, silent = step(kind, name), silent_step(kind, name)
    schedule = stateful(kind, name)
    state, clean = schedule.init(), schedule.init()
    for value in np.float32(values):
        _, state = told(state, value)
        clean = told(clean, value)[1] if np.isfinite(value) else silent(clean)
    state, clean = silent(state), silent(clean)
    expected = np.sum(~np.isfinite(values)) if "value" in lrdecay.watched(state) else 0
    known, other = schedule.memory(state), schedule.memory(clean)
    assert known.nonfinite == expected
    # They also have a reason code of their own in the decision record.
    replaced = {"nonfinite": other.nonfinite, "decision": other.decision}
    chex.assert_trees_all_equal(known._replace(**replaced), other)
    chex.assert_trees_all_equal((state.inbox, state.base), (clean.inbox, clean.base))


def mark_of(kind, name, parameter):
    return number(inspect.signature(factory(kind, name)).parameters[parameter].annotation)


def traceable(kind, name, parameter, value):
    """A number as an array of the dtype in which a sweep would bring it."""
    mark = mark_of(kind, name, parameter)
    return jnp.asarray(value, jnp.int32 if mark.kind is int else jnp.float32)


def alone(kind, name, lanes, values):
    """The oracle of the lanes: the rates with each one's numbers, which are Python's."""
    if (kind, name) not in HEARING or name == "cosine":
        schedules = [factory(kind, name)(**{**arguments_of(kind, name), **x}) for x in lanes]
        return [schedule(jnp.arange(len(values))) for schedule in schedules]
    schedules = [stateful(kind, name, **numbers) for numbers in lanes]

    @jax.jit
    def steps(states, value):
        both = [advance(s, x, value=value) for s, x in zip(schedules, states, strict=True)]
        return jnp.stack([rate for rate, _ in both]), [state for _, state in both]

    return loop(steps, [schedule.init() for schedule in schedules], values)[1].T


@every_part
def test_every_number_may_be_traced_and_vmapped(kind, name):
    """One program with a lane for each number, in which it has another value than elsewhere."""
    arguments = arguments_of(kind, name)
    marks = {p: mark_of(kind, name, p) for p in numbers_of(kind, name)}
    # A number that is not given by default has no value for the other lanes.
    given_always = {p for p in marks if arguments[p] is not None}
    values = FALLING_THEN_FLAT[8:32]
    for changed in [given_always, *({p} for p in marks.keys() - given_always)]:
        if not changed:
            continue
        swept = sorted(given_always | changed)
        lanes = [{}]
        for p in sorted(changed):
            other = traceable(kind, name, p, value_for(marks[p]))
            if np.array_equal(other, arguments[p]):
                other = other // 2 + 1 if marks[p].kind is int else other / 2
            lanes.append({p: other.tolist()})
        if changed != given_always:
            lanes = lanes[1:]
        batch = {
            p: jnp.stack([traceable(kind, name, p, lane.get(p, arguments[p])) for lane in lanes])
            for p in swept
        }
        together = jax.jit(jax.vmap(lambda x: rates(stateful(kind, name, **x), values)[1]))(batch)
        expectations = alone(kind, name, lanes, values)
        for seen, expected, lane in zip(together, expectations, lanes, strict=True):
            np.testing.assert_allclose(seen, expected, rtol=2e-6, atol=1e-9, err_msg=str(lane))


@every_part
def test_a_number_out_of_range_is_refused_by_name(kind, name):
    arguments = arguments_of(kind, name)
    for parameter in numbers_of(kind, name):
        mark = number(inspect.signature(factory(kind, name)).parameters[parameter].annotation)
        for bad in (mark.low - 1, 1e39, float("nan"), float("inf"), "x", True):
            value = [bad] if isinstance(arguments[parameter], list) else bad
            with pytest.raises((TypeError, ValueError), match=rf"{parameter}(\[0\])? must be"):
                factory(kind, name)(**{**arguments, parameter: value})


@every_hearing_part
def test_state_survives_flax_and_orbax(kind, name, tmp_path):
    schedule = stateful(kind, name)
    half, _ = scan(kind, name)(NOISY)
    data = flax.serialization.to_bytes(half)
    by_flax = flax.serialization.from_bytes(schedule.init(), data)
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", half)
        checkpointer.wait_until_finished()
        by_orbax = checkpointer.restore(tmp_path / "state", schedule.init())
    for restored in (by_flax, by_orbax):
        chex.assert_trees_all_equal(restored, half)
        chex.assert_trees_all_equal_shapes_and_dtypes(restored, half)


@pytest.mark.parametrize("name", [name for kind, name in PARTS if kind == "decay"])
def test_a_decay_is_neutral_before_the_first_fire(name):
    decay = factory("decay", name)(**arguments_of("decay", name))
    for since in (0, 1, 10**6, 2**31 - 1):
        assert decay(jnp.int32(0), jnp.int32(since)) == 1.0


@pytest.mark.parametrize("name", [name for kind, name in PARTS if kind == "trigger"])
def test_a_trigger_without_observations_neither_fires_nor_moves(name):
    schedule = stateful("trigger", name)
    state, _ = loop(step("trigger", name), schedule.init(), FALLING_THEN_FLAT[:10])
    state = schedule.update(state, value=None)  # takes the last value in
    after = schedule.update(schedule.update(state, value=None), value=None)
    known, before = schedule.memory(after), schedule.memory(state)
    chex.assert_trees_all_equal(known.trigger, before.trigger)
    assert known.fires == before.fires
