"""What one reads from an optimizer's state and sets in it: decisions, words, factors, the clock."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import lrdecay
from lrdecay import Reason

PARAMS = {"w": jnp.arange(1.0, 4.0), "b": jnp.ones(1)}


def aware(base=0.1, patience=2, **arguments):
    when = lrdecay.plateau(patience=patience, **arguments)
    return lrdecay.loss_aware(base, when=when, how=lrdecay.rungs([0.1, 0.01, 0.001]))


def record(schedule, values):
    """The decisions of a scan over losses, a step each."""
    tx = lrdecay.scale_by_learning_rate(schedule)

    def step(state, value):
        _, state = tx.update(PARAMS, state, value=value)
        return state, lrdecay.decision(state)

    return jax.lax.scan(step, tx.init(PARAMS), jnp.asarray(values, jnp.float32))


def reasons(schedule, values):
    return [Reason(int(r)).name for r in record(schedule, values)[1].reason]


def test_a_record_says_what_each_rate_is_made_of():
    base = optax.linear_schedule(0.2, 0.1, 6)
    _, made = record(aware(base), [1.0] * 7)
    np.testing.assert_allclose(made.base, [base(t) for t in range(7)], rtol=1e-6)
    np.testing.assert_allclose(made.factor, [1, 1, 1, 0.1, 0.1, 0.01, 0.01], rtol=1e-6)
    np.testing.assert_allclose(made.rate, made.base * made.factor, rtol=1e-6)


def test_a_record_names_the_trigger_in_the_step_that_feels_it():
    assert reasons(aware(), [1.0] * 6) == [
        *("SCHEDULE", "SCHEDULE", "SCHEDULE", "PLATEAU", "SCHEDULE", "PLATEAU"),
    ]


def test_a_record_names_the_floor_once_there_is_no_further_rung():
    assert reasons(aware(patience=1), [1.0] * 6)[2:] == ["PLATEAU", "PLATEAU", "FLOOR", "FLOOR"]


def test_a_record_names_grace_cooldown_and_nonfinite_values():
    seen = reasons(aware(patience=1, grace=3), [1.0] * 7)
    # What the steps 0 to 2 observe is weighed before the steps 1 to 3.
    assert seen == [*["GRACE"] * 4, "SCHEDULE", "PLATEAU", "PLATEAU"]
    seen = reasons(aware(patience=1, cooldown=2), [1.0] * 6)
    assert seen[2:5] == ["PLATEAU", "COOLDOWN", "COOLDOWN"]
    assert reasons(aware(), [1.0, np.nan, 0.5, np.inf, 0.2])[2] == "NONFINITE"


def test_a_nested_record_takes_the_reason_of_the_one_inside_where_it_has_none():
    outer = lrdecay.loss_aware(aware(patience=2), when=lrdecay.at([1]), how=lrdecay.multiply(0.5))
    assert reasons(outer, [1.0] * 4) == ["SCHEDULE", "STEP", "SCHEDULE", "PLATEAU"]


def test_a_record_before_the_first_step_is_that_of_step_0():
    tx = lrdecay.scale_by_learning_rate(aware(optax.linear_schedule(0.3, 0.1, 6)))
    assert lrdecay.decision(tx.init(PARAMS)).rate == np.float32(0.3)


def test_a_plain_schedule_has_a_record_too():
    tx = lrdecay.with_learning_rate(optax.rmsprop, optax.linear_schedule(0.2, 0.1, 5))
    _, state = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    made = lrdecay.decision(lrdecay.set_factor(state, 1.0))
    assert (made.rate, made.base, made.factor) == (np.float32(0.2), np.float32(0.2), 1.0)
    assert made.reason == Reason.SCHEDULE


def test_groups_have_records_and_words_of_their_own():
    tx = optax.partition(
        {
            "fast": lrdecay.scale_by_learning_rate(aware()),
            "slow": lrdecay.scale_by_learning_rate(1),
        },
        {"w": "fast", "b": "slow"},
    )
    state = tx.init(PARAMS)
    assert {k: float(v.rate) for k, v in lrdecay.decision(state).items()} == {
        "fast": np.float32(0.1),
        "slow": 1.0,
    }
    assert lrdecay.explain(state) == (
        "fast: rate 0.1 = 0.1 x 1. Not cut in 0 steps.\nslow: rate 1, as the schedule says."
    )


def test_explains_the_last_cut_in_words():
    state, _ = record(aware(patience=10), [0.5, 0.312, *[0.4] * 21, np.nan, 0.4])
    assert lrdecay.explain(state) == (
        "rate 0.001 = 0.1 x 0.01. Cut 2 at step 22: no improvement on 0.312 for 10 observations. "
        "Non-finite values so far: 1."
    )


def test_explains_a_raise():
    up = lrdecay.watch(
        "value", lambda: (), lambda state, value, resting: (state, jnp.int32(-1), (value, 0.0))
    )
    state, _ = record(lrdecay.loss_aware(0.1, when=up, how=lrdecay.multiply(0.5)), [3.0, 4.0])
    assert lrdecay.explain(state) == (
        "rate 0.2 = 0.1 x 2. Raised at step 1: the trigger fired at 3."
    )


def test_explains_inside_of_inject_hyperparams():
    tx = optax.inject_hyperparams(optax.sgd)(learning_rate=aware(patience=1))
    state = tx.init(PARAMS)
    for _ in range(3):
        _, state = tx.update(PARAMS, state, PARAMS, value=1.0)
    assert lrdecay.explain(state).startswith("rate 0.01 = 0.1 x 0.1. Cut 1 at step 2")


def test_a_factor_of_ones_own_acts_from_the_next_update_without_recompiling():
    tx = optax.chain(optax.clip(9.0), lrdecay.scale_by_learning_rate(aware(patience=9)))
    update = jax.jit(lambda state: tx.update(PARAMS, state, PARAMS, value=1.0))
    set_factor = jax.jit(lrdecay.set_factor)
    state = tx.init(PARAMS)
    seen = []
    for factor in (1.0, 0.5, 0.25, 1.0):
        state = set_factor(state, factor)
        updates, state = update(state)
        seen.append(float(lrdecay.learning_rate(state)))
        chex.assert_trees_all_close(updates, optax.tree.scale(-0.1 * factor, PARAMS), rtol=1e-6)
    np.testing.assert_allclose(seen, [0.1, 0.05, 0.025, 0.1], rtol=1e-6)
    assert lrdecay.decision(state).factor == 1.0
    assert update._cache_size() == set_factor._cache_size() == 1


def test_a_factor_reaches_an_nnx_optimizer():
    tx = lrdecay.with_learning_rate(optax.sgd, 0.1)
    optimizer = nnx.Optimizer(nnx.Linear(3, 1, rngs=nnx.Rngs(0)), tx, wrt=nnx.Param)
    optimizer.opt_state = lrdecay.set_factor(optimizer.opt_state, 0.5)
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    grads = nnx.grad(lambda m: jnp.sum(m(jnp.ones((2, 3)))))(model)
    optimizer.update(model, grads)
    assert lrdecay.learning_rate(optimizer.opt_state) == np.float32(0.05)


def test_bad_factors_are_named():
    state = lrdecay.scale_by_learning_rate(0.1).init(PARAMS)
    with pytest.raises(ValueError, match="factor must be a number above 0, got 0"):
        lrdecay.set_factor(state, 0)
    with pytest.raises(ValueError, match="no learning rate in this state"):
        lrdecay.set_factor(optax.sgd(0.1).init(PARAMS), 0.5)


def trained(tx, steps=6):
    state = tx.init(PARAMS)
    for _ in range(steps):
        _, state = tx.update(PARAMS, state, PARAMS, value=1.0)
    return state


def test_rebase_starts_the_rate_anew_and_keeps_the_moments():
    base = optax.linear_schedule(0.2, 0.1, 10)
    tx = lrdecay.with_learning_rate(optax.rmsprop, aware(base, patience=1), momentum=0.9)
    old = lrdecay.set_factor(trained(tx), 0.5)
    new = lrdecay.rebase(old, tx.init(PARAMS))
    chex.assert_trees_all_equal(new.inner, old.inner)
    fresh = tx.init(PARAMS)
    chex.assert_trees_all_equal(new.schedule, fresh.schedule)
    assert new.learning_rate == old.learning_rate
    assert new.factor == 1.0
    seen = []
    for _ in range(3):
        _, new = tx.update(PARAMS, new, PARAMS, value=5.0)
        seen.append(float(lrdecay.learning_rate(new)))
    np.testing.assert_allclose(seen, [0.2, 0.19, 0.018], rtol=1e-6)


@pytest.mark.parametrize("schedule", [optax.linear_schedule(0.2, 0.1, 10), None])
def test_rebase_sets_the_clock_to_a_step(schedule):
    schedule = schedule or aware(optax.linear_schedule(0.2, 0.1, 10), patience=9)
    tx = optax.chain(optax.ema(0.9, debias=False), lrdecay.scale_by_learning_rate(schedule))
    state = lrdecay.rebase(trained(tx), tx.init(PARAMS), step=4)
    _, state = tx.update(PARAMS, state, PARAMS, value=1.0)
    np.testing.assert_allclose(lrdecay.learning_rate(state), 0.16, rtol=1e-6)
    assert state[0].count == 7


def test_rebase_to_another_schedule():
    old = optax.chain(optax.trace(0.9), lrdecay.scale_by_learning_rate(0.5))
    new = optax.chain(optax.trace(0.9), lrdecay.scale_by_learning_rate(aware(patience=1)))
    state = lrdecay.rebase(trained(old), new.init(PARAMS))
    for _ in range(3):
        _, state = new.update(PARAMS, state, PARAMS, value=1.0)
    np.testing.assert_allclose(lrdecay.learning_rate(state), 0.01, rtol=1e-6)


def test_rebase_refuses_another_optimizer():
    adam = lrdecay.with_learning_rate(optax.adam, 0.1)
    chain = optax.chain(optax.trace(0.9), lrdecay.scale_by_learning_rate(0.1))
    with pytest.raises(ValueError, match="fresh must be of the same form"):
        lrdecay.rebase(trained(chain), adam.init(PARAMS))
    with pytest.raises(ValueError, match="no learning rate"):
        lrdecay.rebase(optax.sgd(0.1).init(PARAMS), optax.sgd(0.1).init(PARAMS))


def hearing(name):
    """An optimizer whose trigger keeps the last value of a signal as its evidence."""
    when = lrdecay.watch(
        name, lambda: (), lambda state, value, resting: (state, ~resting, (value, 0.0))
    )
    return lrdecay.scale_by_learning_rate(
        lrdecay.loss_aware(0.1, when=when, how=lrdecay.multiply(0.5))
    )


def test_triggers_hear_the_norms_of_gradient_and_parameters():
    for name, norm in (("grad_norm", np.sqrt(4 * 15)), ("param_norm", np.sqrt(15))):
        tx = hearing(name)
        state = tx.init(PARAMS)
        for _ in range(2):
            _, state = tx.update(optax.tree.scale(2.0, PARAMS), state, PARAMS)
        np.testing.assert_allclose(state.schedule.memory.cause.evidence[0], norm, rtol=1e-6)


def test_triggers_hear_the_product_of_successive_gradients():
    tx = hearing("grad_alignment")
    state = tx.init(PARAMS)
    seen = []
    for scale in (1.0, -2.0, 3.0, 0.0):
        _, state = tx.update(optax.tree.scale(scale, PARAMS), state, PARAMS)
        seen.append(float(state.schedule.memory.cause.evidence[0]))
    np.testing.assert_allclose(seen, [0.0, 0.0, -30.0, -90.0], rtol=1e-6)
    assert lrdecay.scale_by_learning_rate(0.1).init(PARAMS).last_grads == ()


def test_a_norm_of_missing_parameters_is_an_error():
    tx = hearing("param_norm")
    with pytest.raises(ValueError, match="a trigger watches 'param_norm': pass the parameters"):
        tx.update(PARAMS, tx.init(PARAMS))
