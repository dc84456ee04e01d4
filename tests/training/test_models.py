"""Models: shapes, modes and state, Linen and NNX against each other, and JAX's transformations."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from lrdecay.training.models import cnn, from_linen, from_nnx

pytestmark = pytest.mark.usefixtures("compiled_quickly")

KEY = jax.random.key(0)


def images(seed=1, batch=6, side=8):
    return jax.random.normal(jax.random.key(seed), (batch, side, side, 1))


class LinenNet(nn.Module):
    """A module of a user's own, with its own convolution, batch statistics and dropout."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(3)(x.reshape(len(x), -1))


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(4 * 64, 3, rngs=rngs)

    def __call__(self, x):
        x = self.dropout(self.norm(self.conv(x)))
        return self.dense(x.reshape(len(x), -1))


class LinenPlain(nn.Module):
    """Has no state, and does not take `train`."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x.reshape(len(x), -1))


class LinenCounter(nn.Module):
    """Changes its state in every call, whatever the mode."""

    @nn.compact
    def __call__(self, x):
        calls = self.variable("counts", "calls", lambda: jnp.int32(0))
        if not self.is_initializing() and self.is_mutable_collection("counts"):
            calls.value += 1
        return nn.Dense(3)(x.reshape(len(x), -1))


class NnxPlain(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(64, 3, rngs=rngs)

    def __call__(self, x):
        return self.dense(x.reshape(len(x), -1))


MODELS = {
    "cnn": cnn(3),
    "cnn with batch norm": cnn(3, batch_norm=True),
    "linen": from_linen(LinenNet()),
    "linen counter": from_linen(LinenCounter()),
    "linen plain": from_linen(LinenPlain()),
    "nnx": from_nnx(NnxNet),
    "nnx plain": from_nnx(NnxPlain),
}
WITH_STATE = ("cnn with batch norm", "linen", "linen counter", "nnx")
WITH_DROPOUT = ("linen", "nnx")

every_model = pytest.mark.parametrize("name", MODELS)


def arrays(tree):
    """A tree with the typed keys as numbers, to compare."""
    return jax.tree.map(
        lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x,
        tree,
    )


def train_steps(model, key, x, labels):
    """Three steps of SGD in one scan; the mean losses."""
    optimizer = optax.sgd(0.1)
    params, model_state = model.init(key, x)

    def step(carry, key):
        params, model_state, opt_state = carry

        def loss_of(params):
            logits, new = model.apply(params, model_state, x, train=True, key=key)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), new

        (loss, model_state), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        return (optax.apply_updates(params, updates), model_state, opt_state), loss

    carry = (params, model_state, optimizer.init(params))
    return jax.lax.scan(step, carry, jax.random.split(key, 3))[1]


@pytest.mark.parametrize("side", [8, 9, 28])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(
    ("size", "features", "hidden"),
    [("small", (16, 32), 64), ("medium", (32, 64), 256), ("large", (64, 128, 256), 256)],
)
def test_shapes_of_the_cnn(size, features, hidden, batch_norm, side):
    model = cnn(7, size, batch_norm)
    x = jax.ShapeDtypeStruct((2, side, side, 1), jnp.float32)
    params, model_state = jax.eval_shape(model.init, KEY, x)
    logits, _ = jax.eval_shape(
        lambda p, s, x: model.apply(p, s, x, train=True), params, model_state, x
    )
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)
    end = side // 2 ** len(features)
    dense = [features[-1] * end**2 * hidden + hidden, hidden * 7 + 7]
    after = [2 * f if batch_norm else f for f in features]  # a scale and a shift, or a bias
    kernels = [9 * i * o for i, o in zip((1, *features), features, strict=False)]
    assert sum(p.size for p in jax.tree.leaves(params)) == sum([*dense, *after, *kernels])
    assert (model_state == {}) != batch_norm


@pytest.mark.parametrize(
    ("size", "side", "count"),
    [("small", 9, 1), ("small", 9, 5), ("small", 28, 6), ("medium", 9, 5), ("medium", 28, 6)],
)
def test_cnn_and_its_gradient_equal_the_layers_written_out(size, side, count):
    model, x = cnn(3, size), images(batch=count, side=side)
    params, _ = model.init(KEY, x)

    def pool(x):
        x = x[:, :-1, :-1] if x.shape[1] % 2 else x
        return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4

    def dense(x, layer):
        return jnp.einsum("bi,io->bo", x, layer["kernel"]) + layer["bias"][None]

    def written_out(params):
        y = x
        for i in range(2):
            layer = params[f"Conv_{i}"]
            y = jax.lax.conv_general_dilated(
                y, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            y = pool(jnp.maximum(y + layer["bias"][None, None, None], 0))
        y = jnp.maximum(dense(y.reshape(len(y), -1), params["Dense_0"]), 0)
        return dense(y, params["Dense_1"])

    def value_and_gradient(function):
        value, pullback = jax.vjp(function, params)
        return value, *pullback(jnp.arange(value.size, dtype=value.dtype).reshape(value.shape))

    jax.tree.map(
        lambda a, d: np.testing.assert_allclose(a, d, rtol=0, atol=1e-5 * np.abs(d).max()),
        *(
            jax.jit(value_and_gradient, static_argnums=0)(f)
            for f in (lambda p: model.apply(p, {}, x, train=True)[0], written_out)
        ),
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"classes": 0}, "classes must be an integer"),
        ({"classes": 3, "size": "huge"}, "size must be 'small' or 'medium' or 'large'"),
    ],
)
def test_cnn_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        cnn(**arguments)


@every_model
def test_evaluation_leaves_the_state_and_needs_no_key(name):
    model, x = MODELS[name], images()
    params, model_state = model.init(KEY, x)
    first, after = model.apply(params, model_state, x, train=False)
    second, _ = model.apply(params, model_state, x, train=False, key=jax.random.key(5))
    chex.assert_trees_all_equal(arrays(after), arrays(model_state))
    np.testing.assert_array_equal(first, second)


@every_model
def test_training_changes_the_state_where_there_is_one(name):
    model, x = MODELS[name], images()
    params, model_state = model.init(KEY, x)
    _, after = model.apply(params, model_state, x, train=True, key=KEY)
    chex.assert_trees_all_equal_structs(after, model_state)
    if name not in WITH_STATE:
        assert after == model_state == {}
        return
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(arrays(after), arrays(model_state))


@pytest.mark.parametrize("model", [from_linen(LinenNet()), from_nnx(NnxNet)], ids=["linen", "nnx"])
def test_batch_statistics_are_running_means(model):
    x = images()
    params, state = model.init(KEY, x)
    _, after = model.apply(params, state, x, train=True, key=KEY)
    conv = params.get("Conv_0", params.get("conv"))
    y = jax.lax.conv_general_dilated(
        x, conv["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    statistics = after["batch_stats"]["BatchNorm_0"] if "batch_stats" in after else after["norm"]
    np.testing.assert_allclose(statistics["mean"], 0.1 * y.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * y.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("name", WITH_DROPOUT)
def test_dropout_is_a_function_of_the_key(name):
    model, x = MODELS[name], images()
    params, model_state = model.init(KEY, x)

    def logits(seed, model_state=model_state):
        return model.apply(params, model_state, x, train=True, key=jax.random.key(seed))

    first, after = logits(1)
    np.testing.assert_array_equal(first, logits(1)[0])
    np.testing.assert_array_equal(first, logits(1, after)[0])
    assert np.abs(first - logits(2)[0]).max() > 1e-3


def test_nnx_without_a_key_draws_on():
    model, x = MODELS["nnx"], images()
    params, model_state = model.init(KEY, x)
    first, after = model.apply(params, model_state, x, train=True)
    second, _ = model.apply(params, after, x, train=True)
    assert np.abs(first - second).max() > 1e-3


def test_nnx_equals_linen_with_the_same_weights():
    linen, x = MODELS["linen"], images()
    weights, statistics = linen.init(KEY, x)
    # Statistics other than the initial ones, which would hide a mix-up.
    _, statistics = linen.apply(weights, statistics, x, train=True, key=KEY)
    model = MODELS["nnx"]
    _, state = model.init(KEY, x)
    params = {
        "conv": weights["Conv_0"],
        "norm": weights["BatchNorm_0"],
        "dense": weights["Dense_0"],
    }
    state = state | {"norm": statistics["batch_stats"]["BatchNorm_0"]}

    def loss(apply, params, state):
        return jnp.sum(jnp.sin(apply(params, state, x, train=False)[0]))

    np.testing.assert_allclose(
        model.apply(params, state, x, train=False)[0],
        linen.apply(weights, statistics, x, train=False)[0],
        rtol=1e-5,
        atol=1e-6,
    )
    ours = jax.grad(lambda p: loss(model.apply, p, state))(params)
    theirs = jax.grad(lambda p: loss(linen.apply, p, statistics))(weights)
    np.testing.assert_allclose(
        ours["conv"]["kernel"], theirs["Conv_0"]["kernel"], rtol=1e-4, atol=1e-6
    )


@every_model
def test_trains_in_a_compiled_scan_and_vmap_over_seeds_equals_a_loop(name):
    x, labels = images(), jnp.arange(6) % 3
    keys = jax.random.split(KEY, 3)

    def run(key):
        return train_steps(MODELS[name], key, x, labels)

    together = jax.jit(jax.vmap(run))(keys)
    apart = jnp.stack([jax.jit(run)(key) for key in keys])
    np.testing.assert_allclose(together, apart, rtol=1e-3)
    assert np.isfinite(apart).all()
    assert len(set(apart.ravel().tolist())) == 9
