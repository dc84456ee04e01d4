"""Rewritten functions against themselves: values, derivatives, and what is left as it was."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from jax.extend.core import jaxprs_in_params
from jax.extend.core.primitives import custom_vjp_call_p

from lrdecay.training import rewriting
from lrdecay.training.models import from_linen, from_nnx
from lrdecay.training.rewriting import fast_convolutions, slow_convolutions

pytestmark = pytest.mark.usefixtures("compiled_quickly")

NHWC = ("NHWC", "HWIO", "NHWC")


def normal(seed, *shape, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def operations(jaxpr):
    """Every operation, however deep, but for those of a function with a derivative of its own."""
    for eqn in jaxpr.eqns:
        yield eqn
        if eqn.primitive is not custom_vjp_call_p:
            for inner in jaxprs_in_params(eqn.params):
                yield from operations(inner)


def convolutions(function, *arguments):
    """The convolutions of lax in a program."""
    found = operations(jax.make_jaxpr(function)(*arguments).jaxpr)
    return [eqn for eqn in found if eqn.primitive is lax.conv_general_dilated_p]


def count(function, *arguments):
    return len(convolutions(function, *arguments))


def slow_in_loops(eqn):
    """Whether a convolution is of the kinds that gradients bring: dilated or in another layout."""
    layout = lax.conv_dimension_numbers((1, 1, 1, 1), (1, 1, 1, 1), ("NHWC", "HWIO", "NHWC"))
    dilated = any(d != 1 for d in eqn.params["lhs_dilation"])
    return dilated or eqn.params["dimension_numbers"] != layout


def assert_close(actual, desired, rtol=1e-5):
    """Within rtol of the largest value: sums of many terms lose what cancels."""
    assert jax.tree.structure(actual) == jax.tree.structure(desired)
    for a, d in zip(jax.tree.leaves(actual), jax.tree.leaves(desired), strict=True):
        assert (a.shape, a.dtype) == (d.shape, d.dtype)
        a, d = np.asarray(a, np.float64), np.asarray(d, np.float64)
        np.testing.assert_allclose(a, d, rtol=0, atol=rtol * np.abs(d).max(initial=1e-6))


def value_and_gradients(function, *arguments):
    value, pullback = jax.vjp(function, *arguments)
    return value, *pullback(normal(9, *value.shape, dtype=value.dtype))


def convolution(layout=NHWC, strides=(1, 1), padding="SAME", **options):
    def convolve(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, strides, padding, dimension_numbers=layout, **options
        )

    return convolve


CASES = {
    "plain": (convolution(), (2, 9, 8, 3), (3, 3, 3, 4)),
    "strides and a dilated kernel": (
        convolution(strides=(1, 2), rhs_dilation=(2, 1)),
        *((2, 9, 8, 3), (3, 2, 3, 4)),
    ),
    "NCHW": (convolution(None), (2, 3, 9, 8), (4, 3, 3, 3)),
    "mixed layout": (convolution(("CWNH", "IHOW", "HCNW")), (3, 8, 2, 9), (3, 3, 4, 2)),
    "transposed": (
        convolution(padding=((2, 1), (0, 3)), lhs_dilation=(2, 3)),
        *((2, 5, 4, 3), (3, 2, 3, 4)),
    ),
    "grouped": (convolution(feature_group_count=2), (2, 9, 8, 4), (3, 3, 2, 6)),
    "grouped NCHW": (convolution(None, feature_group_count=2), (2, 4, 9, 8), (6, 2, 3, 3)),
    "depthwise": (convolution(feature_group_count=4), (2, 9, 8, 4), (3, 3, 1, 4)),
    "depthwise, more features": (
        convolution(
            strides=(2, 3), padding=((2, 0), (1, 3)), rhs_dilation=(1, 2), feature_group_count=4
        ),
        *((2, 9, 8, 4), (3, 2, 1, 12)),
    ),
    "depthwise, empty": (
        convolution(padding="VALID", feature_group_count=4),
        *((2, 2, 8, 4), (3, 3, 1, 4)),
    ),
    "1-D": (
        convolution(("NWC", "WIO", "NWC"), (2,), rhs_dilation=(2,)),
        *((2, 9, 3), (3, 3, 4)),
    ),
    "1-D depthwise": (
        convolution(None, (1,), feature_group_count=3),
        *((2, 3, 9), (6, 1, 3)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_form_of_convolution_keeps_its_value_and_gradients(name):
    convolve, *shapes = CASES[name]
    arguments = [normal(i, *shape) for i, shape in enumerate(shapes)]
    ours = fast_convolutions(convolve)
    assert count(ours, *arguments) == 0
    assert slow_convolutions(convolve, *arguments) == []
    assert_close(
        jax.jit(lambda *a: value_and_gradients(ours, *a))(*arguments),
        jax.jit(lambda *a: value_and_gradients(convolve, *a))(*arguments),
    )


@pytest.mark.parametrize("name", ["plain", "depthwise"])
def test_half_precision_is_summed_in_single(name):
    convolve, *shapes = CASES[name]
    halves = [normal(i, *shape, dtype=jnp.bfloat16) for i, shape in enumerate(shapes)]
    ours = fast_convolutions(convolve)(*halves)
    exact = convolve(*(x.astype(jnp.float32) for x in halves))
    assert_close(ours, exact.astype(jnp.bfloat16), rtol=4e-3)


plain = convolution()


def scanned(x, kernel):
    return lax.scan(lambda x, _: (jnp.tanh(plain(x, kernel)), x.sum()), x, length=3)


def branching(x, kernel):
    return lax.cond(x.sum() > 0, plain, lambda x, k: x, x, kernel)


def looping(x, kernel):
    return lax.fori_loop(0, 3, lambda _, x: jnp.tanh(plain(x, kernel)), x)


WRAPPED = {
    "jit": jax.jit(lambda x, k: jax.jit(plain)(x, k) + 1),
    "remat": jax.checkpoint(lambda x, k: jnp.sin(plain(jnp.sin(x), k))),
    "scan": scanned,
    "cond": branching,
    "while": looping,
    "vmap": lambda x, k: jax.vmap(plain, (None, 0))(x, jnp.stack([k, 2 * k])),
    "gradient": lambda x, k: jax.grad(lambda k: jnp.sum(jnp.sin(plain(x, k))))(k),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_inside_of_other_transformations(name):
    function = WRAPPED[name]
    x, kernel = normal(0, 2, 6, 6, 3), normal(1, 3, 3, 3, 3)
    ours = fast_convolutions(function)
    assert count(function, x, kernel) > 0
    # The gradient by the kernel has the images as its kernel, and the batch as channels.
    assert count(ours, x, kernel) == 0
    assert_close(jax.jit(ours)(x, kernel), jax.jit(function)(x, kernel))


@pytest.mark.parametrize("name", ["jit", "remat", "scan", "cond"])
def test_the_derivatives_and_batches_of_what_is_rewritten(name):
    function = WRAPPED[name]
    x, kernels = normal(0, 2, 6, 6, 3), normal(1, 2, 3, 3, 3, 3)

    def gradients(function):
        def loss(x, kernel):
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(function(x, kernel)))

        return jax.jit(jax.vmap(jax.grad(loss, (0, 1)), (None, 0)))(x, kernels)

    assert_close(gradients(fast_convolutions(function)), gradients(function))


def test_custom_derivatives_are_left_as_they_are():
    @jax.custom_jvp
    def clipped(x, k):
        return plain(x, k)

    @clipped.defjvp
    def _(primals, tangents):
        return plain(*primals), 7 * plain(tangents[0], primals[1])

    x, kernel = normal(0, 2, 6, 6, 3), normal(1, 3, 3, 3, 3)
    assert count(fast_convolutions(clipped), x, kernel) == 1
    ours, theirs = (
        jax.jit(jax.grad(lambda x, f=f: jnp.sum(f(jnp.sin(x), kernel))))(x)
        for f in (fast_convolutions(clipped), clipped)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_what_has_no_convolution_is_bitwise_the_same():
    def function(x, *, flag, nothing=None):
        assert nothing is None
        return {"y": jax.nn.gelu(x) if flag else x, "z": (x.sum(), None)}

    x = normal(0, 4, 5)
    for flag in (True, False):
        ours = jax.jit(lambda x, flag=flag: fast_convolutions(function)(x, flag=flag))(x)
        theirs = jax.jit(lambda x, flag=flag: function(x, flag=flag))(x)
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_says_which_convolutions_are_left():
    cube = convolution(("NHWDC", "HWDIO", "NHWDC"), (1, 1, 1))
    groups = convolution(batch_group_count=2)

    def function(x, y, kernel, cubic, *, twice):
        def body(carry, _):
            return carry, cube(y, cubic).sum()

        _, sums = lax.scan(body, 0.0, length=2)
        return plain(x, kernel).sum() + sums + (groups(x, kernel).sum() if twice else 0.0)

    shapes = [(2, 6, 6, 3), (2, 4, 4, 4, 3), (3, 3, 3, 4), (3, 3, 3, 3, 4)]
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    left = "float32[2,4,4,4,3] * float32[3,3,3,3,4]"
    assert slow_convolutions(function, *arguments, twice=False) == [left]
    assert slow_convolutions(function, *arguments, twice=True) == [
        left,
        "float32[2,6,6,3] * float32[3,3,3,4]",
    ]
    real = [normal(i, *shape) for i, shape in enumerate(shapes)]
    ours = fast_convolutions(function)
    assert count(lambda *a: ours(*a, twice=True), *real) == 2
    assert_close(ours(*real, twice=True), function(*real, twice=True))


def test_other_backends_call_the_original(monkeypatch):
    monkeypatch.setattr(rewriting.jax, "default_backend", lambda: "gpu")
    x, kernel = normal(0, 2, 6, 6, 3), normal(1, 3, 3, 3, 3)
    assert count(fast_convolutions(plain), x, kernel) == 1


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.max_pool(nn.relu(x), (2, 2), (2, 2))
        x = nn.remat(nn.Conv)(8, (3, 3), feature_group_count=4)(x)
        x = nn.ConvTranspose(4, (3, 3), strides=(2, 2))(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(3)(x.reshape(len(x), -1))


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(4 * 16, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.relu(self.norm(self.conv(x))), (2, 2), (2, 2))
        return self.dense(self.dropout(x).reshape(len(x), -1))


@pytest.mark.parametrize("model", [from_linen(LinenNet()), from_nnx(NnxNet)], ids=["linen", "nnx"])
def test_a_users_model_trains_the_same(model):
    x, key = normal(0, 6, 8, 8, 1), jax.random.key(3)
    params, model_state = model.init(jax.random.key(0), x)

    def step(apply, params, model_state):
        def loss(params):
            logits, state = apply(params, model_state, x, train=True, key=key)
            return jnp.sum(jnp.sin(logits)), state

        (value, state), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        numbers = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.number)]
        return value, gradients, numbers

    ours = fast_convolutions(model.apply)
    slow = [
        sum(map(slow_in_loops, convolutions(lambda *a, f=f: step(f, *a), params, model_state)))
        for f in (model.apply, ours)
    ]
    assert slow[0] >= 1
    assert slow[1] == 0
    assert_close(
        jax.jit(lambda *a: step(ours, *a))(params, model_state),
        jax.jit(lambda *a: step(model.apply, *a))(params, model_state),
        rtol=1e-4,
    )
