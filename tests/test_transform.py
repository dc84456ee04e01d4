"""The Optax transformation: what it applies, records and hears, inside of all that can hold it."""

import functools

import chex
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

import lrdecay
from lrdecay.packing import pack

PARAMS = {"w": jnp.array([1.0, -2.0, 3.0]), "b": jnp.array([0.5])}
BASE = optax.linear_schedule(0.3, 0.1, 8)

# Optax itself promotes dtypes in places, such as the bias correction of Adam.
standard_promotion = jax.numpy_dtype_promotion("standard")


@pytest.fixture(autouse=True)
def _as_optax_needs():
    with standard_promotion:
        yield


def aware(base=0.1, patience=2, factor=0.1, monitor="value"):
    when = lrdecay.plateau(patience=patience, monitor=monitor)
    return lrdecay.loss_aware(base, when=when, how=lrdecay.multiply(factor))


def gradients(params, t):
    return jax.tree.map(lambda p: (jnp.sin(p.astype(jnp.float32) + t)).astype(p.dtype), params)


def train(tx, params, steps=6, **extra):
    """Params and rates of a few jitted steps on gradients that depend on the step."""

    @jax.jit
    def step(params, state, t):
        updates, state = tx.update(gradients(params, t), state, params, **extra)
        return optax.apply_updates(params, updates), state

    state, seen = tx.init(params), []
    for t in range(steps):
        params, state = step(params, state, jnp.float32(t))
        seen.append(lrdecay.learning_rate(state))
    assert step._cache_size() == 1
    return params, seen


OPTIMIZERS = {
    "sgd": (optax.sgd, {}),
    "momentum": (optax.sgd, {"momentum": 0.9}),
    "nesterov": (optax.sgd, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (optax.adagrad, {}),
    "rmsprop": (optax.rmsprop, {}),
    # The rate acts before the momentum here: scaling the updates afterwards would be wrong.
    "rmsprop with momentum": (optax.rmsprop, {"momentum": 0.9}),
    "adam": (optax.adam, {}),
    "adamw": (optax.adamw, {"weight_decay": 0.1}),
    "adamw with a callable mask": (
        optax.adamw,
        {"weight_decay": 0.1, "mask": lambda params: jax.tree.map(lambda p: p.ndim > 0, params)},
    ),
    "lion": (optax.lion, {}),
    "lars": (optax.lars, {}),
    "lamb": (optax.lamb, {}),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_neutral_is_bit_for_bit_what_optax_does(name, dtype):
    optimizer, arguments = OPTIMIZERS[name]
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)
    ours, _ = train(lrdecay.with_learning_rate(optimizer, BASE, **arguments), params)
    neutral = aware(BASE, patience=1, factor=1.0)
    heard, _ = train(lrdecay.with_learning_rate(optimizer, neutral, **arguments), params, value=1.0)
    theirs, state = params, optimizer(BASE, **arguments)
    theirs_tx = state

    @jax.jit
    def step(params, state, t):
        updates, state = theirs_tx.update(gradients(params, t), state, params)
        return optax.apply_updates(params, updates), state

    state = theirs_tx.init(params)
    for t in range(6):
        theirs, state = step(theirs, state, jnp.float32(t))
    chex.assert_trees_all_equal(ours, theirs)
    chex.assert_trees_all_equal(heard, theirs)
    chex.assert_trees_all_equal_dtypes(ours, params)


@pytest.mark.parametrize("rate", [0.1, BASE])
def test_scale_by_learning_rate_is_bit_for_bit_that_of_optax(rate):
    theirs = optax.with_extra_args_support(
        optax.chain(optax.trace(0.9), optax.scale_by_learning_rate(rate))
    )
    ours = optax.chain(optax.trace(0.9), lrdecay.scale_by_learning_rate(rate))
    for x64 in (False, True):
        with jax.enable_x64(x64):
            params = {"w": jnp.array([1.0, -2.0, 3.0], float)}
            states = [tx.init(params) for tx in (ours, theirs)]
            for t in range(5):
                g = gradients(params, t)
                updates = []
                for i, tx in enumerate((ours, theirs)):
                    u, states[i] = jax.jit(tx.update)(g, states[i], params)
                    updates.append(u)
                chex.assert_trees_all_equal(*updates)
                chex.assert_trees_all_equal_dtypes(*updates)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.complex64])
def test_updates_are_rounded_once_and_the_state_is_not(dtype):
    tx = lrdecay.scale_by_learning_rate(0.3)
    g = jnp.linspace(0.1, 2, 64).astype(dtype)
    state = tx.init(g)
    updates, state = tx.update(g, state)
    assert updates.dtype == dtype
    wide = np.asarray(g, np.complex128 if dtype == jnp.complex64 else np.float64)
    np.testing.assert_array_equal(updates, (wide * -np.float32(0.3)).astype(updates.dtype))
    assert state.learning_rate.dtype == jnp.float32
    assert state.learning_rate == np.float32(0.3)


def test_the_rate_recorded_is_the_rate_applied():
    tx = optax.chain(optax.trace(0.9), lrdecay.scale_by_learning_rate(aware(BASE, patience=1)))
    state = tx.init(PARAMS)
    for t in range(8):
        g = gradients(PARAMS, t)
        momentum = jax.tree.map(lambda g, m: g + 0.9 * m, g, state[0].trace)
        updates, state = tx.update(g, state, PARAMS, value=1.0)
        rate = lrdecay.learning_rate(state)
        # The first loss is the best so far; each one after it is a plateau of one.
        np.testing.assert_allclose(rate, BASE(t) * 0.1 ** max(t - 1, 0), rtol=1e-6)
        expected = optax.tree.scale(-rate, momentum)
        chex.assert_trees_all_close(updates, expected, rtol=1e-6)


def test_nested_rates_multiply_and_hear_the_same_loss():
    inner = aware(0.1, patience=3, factor=0.5)
    outer = lrdecay.loss_aware(inner, when=lrdecay.plateau(patience=2), how=lrdecay.multiply(0.1))
    tx = lrdecay.scale_by_learning_rate(outer)
    _, seen = train(tx, PARAMS, steps=8, value=1.0)
    expected = [0.1 * 0.5 ** (max(t - 1, 0) // 3) * 0.1 ** (max(t - 1, 0) // 2) for t in range(8)]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    state = tx.init(PARAMS)
    for _ in range(8):
        _, state = tx.update(PARAMS, state, value=1.0)
    assert lrdecay.fires(state) == 3 + 2


def holders():
    ours = functools.partial(lrdecay.with_learning_rate, optax.sgd, momentum=0.9)
    bare = functools.partial(lrdecay.scale_by_learning_rate)
    return {
        "alone": lambda s: bare(s),
        "chain": lambda s: optax.chain(optax.clip(1.0), ours(s)),
        "named chain": lambda s: optax.named_chain(("clip", optax.clip(1.0)), ("sgd", ours(s))),
        "masked": lambda s: optax.masked(ours(s), {"w": True, "b": False}),
        "apply_if_finite": lambda s: optax.apply_if_finite(ours(s), 3),
        "MultiSteps": lambda s: optax.MultiSteps(ours(s), 1),
        "inject_hyperparams": lambda s: optax.inject_hyperparams(optax.sgd)(learning_rate=s),
        "partition": lambda s: optax.partition(
            {"train": ours(s), "freeze": optax.set_to_zero()}, {"w": "train", "b": "freeze"}
        ),
    }


@pytest.mark.parametrize("name", holders())
def test_works_inside(name):
    tx = holders()[name](aware(patience=2))
    _, seen = train(tx, PARAMS, steps=6, value=1.0)
    np.testing.assert_allclose(seen, [0.1, 0.1, 0.1, 0.01, 0.01, 0.001], rtol=1e-6)


@pytest.mark.parametrize("name", holders())
def test_hears_a_metric_on_a_slower_clock_inside(name):
    tx = holders()[name](aware(patience=1, monitor="accuracy"))
    state = tx.init(PARAMS)
    assert lrdecay.watched(state) == ("accuracy",)
    observe = jax.jit(lambda s, x: lrdecay.observe(s, accuracy=x))
    update = jax.jit(tx.update)
    seen = []
    for epoch in range(3):
        for t in range(3):
            _, state = update(gradients(PARAMS, t), state, PARAMS)
            seen.append(float(lrdecay.learning_rate(state)))
        state = observe(state, [0.4, 0.5, 0.6][epoch])  # lower would be better
    np.testing.assert_allclose(seen, [0.1] * 6 + [0.01] * 3, rtol=1e-6)
    _, state = update(gradients(PARAMS, 0), state, PARAMS)
    np.testing.assert_allclose(lrdecay.learning_rate(state), 0.001, rtol=1e-6)
    assert observe._cache_size() == 1


def test_values_of_one_step_count_as_their_mean():
    schedule = aware()
    tx = lrdecay.scale_by_learning_rate(schedule)
    state = tx.init(PARAMS)
    for loss in (100.0, 100.0, 100.0, 1.0):
        state = lrdecay.observe(state, value=loss)
    _, state = tx.update(PARAMS, state, value=None)
    assert schedule.memory(state.schedule).trigger.rule.best == 75.25


def test_the_losses_of_micro_batches_count_as_their_mean():
    schedule = aware(monitor="loss")
    tx = optax.MultiSteps(lrdecay.with_learning_rate(optax.adam, schedule), 4)
    state = tx.init(PARAMS)
    for loss in (100.0, 100.0, 100.0, 1.0, 50.0):
        state = lrdecay.observe(state, loss=loss)
        _, state = tx.update(gradients(PARAMS, loss), state, PARAMS)
    held = state.inner_opt_state.schedule
    assert schedule.memory(held).trigger.rule.best == 75.25
    np.testing.assert_array_equal(held.inbox["loss"].values, [50.0, 1, 0])


def test_groups_have_their_own_rates():
    tx = optax.partition(
        {
            "fast": lrdecay.with_learning_rate(optax.adamw, aware(0.1, patience=1)),
            "slow": optax.chain(optax.trace(0.9), lrdecay.scale_by_learning_rate(0.01)),
        },
        {"w": "fast", "b": "slow"},
    )
    _, seen = train(tx, PARAMS, steps=3, value=1.0)
    chex.assert_trees_all_close(seen[-1], {"fast": 0.01, "slow": 0.01})
    chex.assert_trees_all_close(seen[0], {"fast": 0.1, "slow": 0.01})
    chained = optax.chain(lrdecay.scale_by_learning_rate(0.5), lrdecay.scale_by_learning_rate(0.2))
    assert list(lrdecay.learning_rate(chained.init(PARAMS))) == ["0", "1"]


def test_one_program_sweeps_hyperparameters():
    def final_rate(patience, factor, peak):
        tx = lrdecay.scale_by_learning_rate(aware(peak, patience, factor))

        def step(state, _):
            _, state = tx.update(PARAMS, state, value=1.0)
            return state, lrdecay.learning_rate(state)

        return jax.lax.scan(step, tx.init(PARAMS), length=9)[1][-1]

    sweep = jax.jit(jax.vmap(final_rate))
    found = sweep(
        jnp.array([1, 2, 3, 9]), jnp.array([0.5, 0.1, 0.1, 0.1]), jnp.array([1, 1, 2, 3.0])
    )
    np.testing.assert_allclose(found, [0.5**7, 0.1**3, 2 * 0.1**2, 3], rtol=1e-6)


def test_replicas_act_on_one_global_loss():
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    shard = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    tx = lrdecay.with_learning_rate(optax.sgd, aware(patience=1))

    def step(params, state, x):
        loss, g = jax.value_and_grad(lambda p: jnp.mean((x * p["w"][0]) ** 2) * 0 + jnp.mean(x))(
            params
        )
        updates, state = tx.update(g, state, params, value=loss)
        return optax.apply_updates(params, updates), state

    # The mean never falls, though it does on single replicas.
    batches = [jnp.arange(8.0), jnp.arange(8.0)[::-1], jnp.full(8, 3.5)]
    state = tx.init(PARAMS)
    params = PARAMS
    for x in batches:
        params, state = jax.jit(step)(params, state, jax.device_put(x, shard))
    _, state = jax.jit(step)(params, state, jax.device_put(batches[0], shard))
    np.testing.assert_allclose(lrdecay.learning_rate(state), 0.001, rtol=1e-6)


def test_nnx_optimizer():
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    tx = lrdecay.with_learning_rate(optax.adam, aware(patience=1, monitor="accuracy"))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        g = nnx.grad(lambda m: jnp.sum(m(jnp.ones((2, 3)))))(model)
        optimizer.update(model, g)

    seen = []
    for accuracy in (0.5, 0.5, 0.5, 0.5):
        step(model, optimizer)
        seen.append(float(lrdecay.learning_rate(optimizer.opt_state)))
        optimizer.opt_state = lrdecay.observe(optimizer.opt_state, accuracy=accuracy)
    np.testing.assert_allclose(seen, [0.1, 0.1, 0.01, 0.001], rtol=1e-6)


def test_linen_train_state():
    module = linen.Dense(1)
    params = module.init(jax.random.key(0), jnp.ones((2, 3)))
    tx = lrdecay.with_learning_rate(optax.adam, aware(patience=1, monitor="loss"))
    state = TrainState.create(apply_fn=module.apply, params=params, tx=tx)

    @jax.jit
    def step(state):
        loss, g = jax.value_and_grad(lambda p: 1 + 0 * jnp.sum(module.apply(p, jnp.ones((2, 3)))))(
            state.params
        )
        state = state.apply_gradients(grads=g)
        return state.replace(opt_state=lrdecay.observe(state.opt_state, loss=loss))

    seen = []
    for _ in range(4):
        state = step(state)
        seen.append(float(lrdecay.learning_rate(state.opt_state)))
    np.testing.assert_allclose(seen, [0.1, 0.1, 0.01, 0.001], rtol=1e-6)


def test_a_missing_loss_is_loud():
    tx = optax.chain(lrdecay.scale_by_learning_rate(aware()))
    with pytest.raises(
        TypeError, match=r"pass the loss as tx.update\(grads, state, params, value="
    ):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_mistakes_are_named():
    tx = lrdecay.scale_by_learning_rate(aware(monitor="accuracy"))
    state = tx.init(PARAMS)
    with pytest.raises(ValueError, match="no trigger watches loss; watched: accuracy"):
        lrdecay.observe(state, loss=1.0)
    with pytest.raises(ValueError, match=r"accuracy must be one number.*got shape \(3,\)"):
        lrdecay.observe(state, accuracy=jnp.ones(3))
    with pytest.raises(TypeError, match="accuracy must be a real number, got complex64"):
        lrdecay.observe(state, accuracy=jnp.complex64(1))
    with pytest.raises(ValueError, match="watched: nothing"):
        lrdecay.observe(optax.sgd(0.1).init(PARAMS), loss=1.0)
    with pytest.raises(ValueError, match="no learning rate in this state"):
        lrdecay.learning_rate(optax.sgd(0.1).init(PARAMS))
    with pytest.raises(TypeError, match=r"optimizer must be a function of a learning_rate"):
        lrdecay.with_learning_rate(optax.clip, 0.1)
    with pytest.raises(TypeError, match="learning_rate comes from the schedule"):
        lrdecay.with_learning_rate(optax.sgd, 0.1, learning_rate=0.2)


def test_the_clock_saturates():
    schedule = aware()
    state, most = schedule.init(), jnp.int32(2**31 - 1)
    memory = schedule.memory(state)._replace(count=most, since=most, fires=jnp.int32(1))
    state = state._replace(packed=pack(memory, memory))
    after = schedule.update(state, value=None).memory
    assert after.count == 2**31 - 1
    assert after.since == 2**31 - 1
