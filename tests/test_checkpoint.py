"""The schedules' numbers as a dictionary: through JSON and back, and what is refused."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrdecay

PARAMS = {"w": jnp.arange(1.0, 4.0), "b": jnp.ones(1)}


def aware(patience=3):
    return lrdecay.loss_aware(
        0.1, when=lrdecay.plateau(patience=patience), how=lrdecay.multiply(0.5)
    )


HOLDERS = {
    "chain": lambda s: optax.chain(optax.trace(0.9), lrdecay.scale_by_learning_rate(s)),
    "optimizer": lambda s: lrdecay.with_learning_rate(optax.rmsprop, s, momentum=0.9),
    "inject_hyperparams": lambda s: optax.inject_hyperparams(optax.sgd)(learning_rate=s),
    "partition": lambda s: optax.partition(
        {"a": lrdecay.scale_by_learning_rate(s), "b": lrdecay.scale_by_learning_rate(0.2)},
        {"w": "a", "b": "b"},
    ),
}


def trained(tx, state, values):
    rates = []
    for value in values:
        _, state = tx.update(PARAMS, state, PARAMS, value=value)
        rates.append(lrdecay.learning_rate(state))
    return state, rates


@pytest.mark.parametrize("name", HOLDERS)
@pytest.mark.parametrize("split", [0, 2, 5, 7])
def test_schedules_go_on_through_json_as_if_nothing_had_happened(name, split):
    values = [1.0, np.nan, 0.9, 1.0, 1.0, 1.0, 1.0, 0.8, 1.0, 1.0, 1.0, 1.0]
    tx = HOLDERS[name](aware())
    half, _ = trained(tx, tx.init(PARAMS), values[:split])
    saved = json.loads(json.dumps(lrdecay.to_dict(half)))
    restored = lrdecay.from_dict(tx.init(PARAMS), saved)
    chex.assert_trees_all_equal(lrdecay.to_dict(restored), lrdecay.to_dict(half))
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, half)
    _, expected = trained(tx, half, values[split:])
    _, rates = trained(tx, restored, values[split:])
    chex.assert_trees_all_equal(rates, expected)


def test_all_else_is_kept():
    tx = HOLDERS["chain"](aware())
    state, _ = trained(tx, tx.init(PARAMS), [1.0] * 3)
    fresh = tx.init(PARAMS)
    chex.assert_trees_all_equal(lrdecay.from_dict(fresh, lrdecay.to_dict(state))[0], fresh[0])


def test_restored_with_a_smaller_patience_it_fires():
    patient = lrdecay.scale_by_learning_rate(aware(patience=20))
    state, _ = trained(patient, patient.init(PARAMS), [1.0] * 8)
    hasty = lrdecay.scale_by_learning_rate(aware(patience=3))
    state = lrdecay.from_dict(hasty.init(PARAMS), lrdecay.to_dict(state))
    _, rates = trained(hasty, state, [1.0] * 2)
    np.testing.assert_allclose(rates, [0.05, 0.05], rtol=1e-6)


def test_what_is_refused():
    tx = lrdecay.scale_by_learning_rate(aware())
    state = tx.init(PARAMS)
    saved = lrdecay.to_dict(state)
    with pytest.raises(ValueError, match=r"version must be an integer in \[1, 1\], got 2"):
        lrdecay.from_dict(state, saved | {"version": 2})
    plain = lrdecay.scale_by_learning_rate(0.1).init(PARAMS)
    with pytest.raises(ValueError, match=r"not in both: .*schedule/packed/floats"):
        lrdecay.from_dict(plain, saved)
    wrong = {**saved["state"], "factor": [1.0, 2.0]}
    with pytest.raises(ValueError, match=r"factor must be of shape \(\), got \(2,\)"):
        lrdecay.from_dict(state, saved | {"state": wrong})
    with pytest.raises(ValueError, match="no learning rate in this state"):
        lrdecay.to_dict(optax.sgd(0.1).init(PARAMS))


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("nested", [False, True])
def test_numbers_of_another_trigger_are_refused_though_there_are_as_many(holder, nested):
    def state(when):
        schedule = lrdecay.loss_aware(0.1, when=when, how=lrdecay.multiply(0.5))
        if nested:
            schedule = lrdecay.loss_aware(
                schedule, when=lrdecay.plateau(patience=3), how=lrdecay.multiply(0.5)
            )
        return HOLDERS[holder](schedule).init(PARAMS)

    divergence, decline = state(lrdecay.divergence()), state(lrdecay.decline())
    chex.assert_trees_all_equal_shapes_and_dtypes(divergence, decline)
    with pytest.raises(ValueError, match=f"trigger {1 + nested} is another"):
        lrdecay.from_dict(decline, lrdecay.to_dict(divergence))


def test_numbers_keep_every_bit():
    tx = lrdecay.scale_by_learning_rate(aware())
    state, _ = trained(tx, tx.init(PARAMS), [1 / 3, 0.1])
    restored = lrdecay.from_dict(tx.init(PARAMS), json.loads(json.dumps(lrdecay.to_dict(state))))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, restored, state)))
