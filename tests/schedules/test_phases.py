import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrdecay


@pytest.mark.parametrize(("b2", "steps"), [(0.999, 2000), (0.99, 200), (0.95, 40), (0.0, 2)])
def test_the_untuned_warmup_of_adam_takes_two_of_its_memories(b2, steps):
    assert lrdecay.untuned_warmup_steps(b2) == steps


def test_the_untuned_warmup_refuses_what_is_no_decay_rate():
    with pytest.raises(ValueError, match=r"b2 must be a number in \[0, 1\), got 1"):
        lrdecay.untuned_warmup_steps(1.0)


def test_a_warmup_of_any_shape_is_its_cooldown_backwards():
    for shape in ("linear", "cosine", "1-sqrt", "power", "exponential", lambda x: (1 - x) ** 3):
        up = lrdecay.warmup(1.0, 50, 0.25, shape)
        down = lrdecay.wsd(1.0, 0, 50, end_value=0.25, shape=shape)
        steps = np.arange(51)
        np.testing.assert_allclose(up(steps), down(50 - steps), rtol=1e-6)


def test_a_trapezoid_is_refused_an_unknown_shape_by_name():
    with pytest.raises(ValueError, match=r"shape must be 'linear' or .* or a function, got 'sine'"):
        lrdecay.wsd(1.0, 5, 5, shape="sine")


def test_momentum_and_weight_decay_follow_schedules():
    momentum = lrdecay.cyclic(0.95, 0.85, 3)
    decay = lrdecay.cosine(0.1, 6)
    rate = lrdecay.one_cycle(0.1, 3, 3)
    tx = optax.inject_hyperparams(optax.sgd)(learning_rate=rate, momentum=momentum)
    tx = optax.chain(optax.inject_hyperparams(optax.add_decayed_weights)(decay), tx)
    params = jnp.ones(3)
    state = tx.init(params)
    velocity, by_hand = np.zeros(3), np.ones(3)
    for t in range(8):
        updates, state = jax.jit(tx.update)(jnp.full(3, 0.5), state, params)
        params = optax.apply_updates(params, updates)
        assert state[0].hyperparams["weight_decay"] == decay(t)
        assert state[1].hyperparams["momentum"] == momentum(t)
        velocity = 0.5 + float(decay(t)) * by_hand + float(momentum(t)) * velocity
        by_hand = by_hand - float(rate(t)) * velocity
    np.testing.assert_allclose(params, by_hand, rtol=1e-5)
