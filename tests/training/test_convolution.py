"""The convolution against the one of lax: values, gradients, dtypes, errors, and inside Flax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from jax.extend.core import jaxprs_in_params

from lrdecay.training import convolution
from lrdecay.training.convolution import conv_general_dilated

pytestmark = pytest.mark.usefixtures("compiled_quickly")

NHWC = ("NHWC", "HWIO", "NHWC")


def normal(seed, *shape, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def primitives(function, *arguments):
    return {eqn.primitive.name for eqn in jax.make_jaxpr(function)(*arguments).jaxpr.eqns}


def convolutions(function, *arguments):
    """Every convolution in the program, inner functions included: its options, and its kernel."""
    found, jaxprs = [], [jax.make_jaxpr(function)(*arguments).jaxpr]
    while jaxprs:
        for eqn in jaxprs.pop().eqns:
            if eqn.primitive.name == "conv_general_dilated":
                found.append((eqn.params, eqn.invars[1].aval))
            jaxprs.extend(jaxprs_in_params(eqn.params))
    return found


def value_and_gradients(convolve, lhs, rhs):
    value, pullback = jax.vjp(convolve, lhs, rhs)
    # A cotangent of normal numbers tells every place of the result from every other.
    return value, *pullback(normal(9, *value.shape, dtype=value.dtype))


def assert_close(actual, desired, rtol):
    """Within rtol of the largest value: sums of many terms lose what cancels."""
    for a, d in zip(actual, desired, strict=True):
        assert a.dtype == d.dtype
        a, d = np.asarray(a, np.float64), np.asarray(d, np.float64)
        np.testing.assert_allclose(a, d, rtol=0, atol=rtol * np.abs(d).max(initial=0))


@pytest.mark.parametrize("padding", ["SAME", "VALID", "SAME_LOWER", ((2, 0), (1, 3))], ids=str)
@pytest.mark.parametrize(
    ("strides", "dilation"), [((1, 1), None), ((2, 2), None), ((1, 3), (2, 1))], ids=str
)
@pytest.mark.parametrize("window", [(1, 1), (3, 3), (5, 5), (2, 3)], ids=str)
def test_equals_lax_in_value_and_both_gradients(window, strides, padding, dilation):
    lhs, rhs = normal(0, 2, 11, 10, 3), normal(1, *window, 3, 4)

    def ours(x, k):
        return conv_general_dilated(
            x, k, strides, padding, rhs_dilation=dilation, dimension_numbers=NHWC
        )

    def theirs(x, k):
        return lax.conv_general_dilated(
            x, k, strides, padding, rhs_dilation=dilation, dimension_numbers=NHWC
        )

    both = jax.jit(lambda x, k: [value_and_gradients(f, x, k) for f in (ours, theirs)])
    assert_close(*both(lhs, rhs), rtol=1e-5)


@pytest.mark.parametrize("features", [1, 16, 17])
@pytest.mark.parametrize("padding", ["SAME", "VALID", ((-1, 2), (0, -1))], ids=str)
@pytest.mark.parametrize(
    ("strides", "dilation"), [((1, 1), None), ((2, 1), None), ((1, 3), (2, 1))], ids=str
)
@pytest.mark.parametrize("window", [(1, 1), (3, 3), (5, 5), (2, 3), (6, 5)], ids=str)
def test_of_one_channel_equals_lax_in_value_and_both_gradients(
    window, strides, dilation, padding, features
):
    lhs, rhs = normal(0, 2, 13, 12, 1), normal(1, *window, 1, features)

    def ours(x, k):
        return conv_general_dilated(
            x, k, strides, padding, rhs_dilation=dilation, dimension_numbers=NHWC
        )

    def theirs(x, k):
        # Cropped by hand: with a negative padding, lax on the CPU reads outside of the image.
        edges = padding
        if padding not in ("SAME", "VALID"):
            x, edges = x[:, 1:, :-1], ((0, 2), (0, 0))
        return lax.conv_general_dilated(
            x, k, strides, edges, rhs_dilation=dilation, dimension_numbers=NHWC
        )

    both = jax.jit(lambda x, k: [value_and_gradients(f, x, k) for f in (ours, theirs)])
    assert_close(*both(lhs, rhs), rtol=1e-5)


@pytest.mark.parametrize("channels", [3, 32])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_value_and_both_gradients_are_convolutions_of_the_fast_kind(strides, channels):
    lhs, rhs = normal(0, 4, 12, 12, channels), normal(1, 3, 3, channels, 8)
    found = convolutions(
        lambda x, k: value_and_gradients(
            lambda x, k: conv_general_dilated(x, k, strides, "SAME", dimension_numbers=NHWC), x, k
        ),
        *(lhs, rhs),
    )
    assert len(found) == 3
    for options, kernel in found:
        assert options["dimension_numbers"] == convolution._NHWC
        assert options["lhs_dilation"] == (1, 1)
        assert options["feature_group_count"] == options["batch_group_count"] == 1
        assert max(kernel.shape[2:]) > 16


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_negative_padding_crops(strides):
    # Cropped by hand: with a negative padding, lax on the CPU reads outside of the image.
    lhs, rhs = normal(0, 2, 11, 10, 3), normal(1, 3, 3, 3, 4)
    ours = value_and_gradients(
        lambda x, k: conv_general_dilated(
            x, k, strides, ((-1, 2), (0, -1)), dimension_numbers=NHWC
        ),
        *(lhs, rhs),
    )
    theirs = value_and_gradients(
        lambda x, k: lax.conv_general_dilated(
            x[:, 1:, :-1], k, strides, ((0, 2), (0, 0)), dimension_numbers=NHWC
        ),
        *(lhs, rhs),
    )
    assert_close(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 2, 2, 3), (0, 6, 6, 3)], ids=["small image", "empty batch"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_empty_results_have_the_shape_of_lax(shape, strides):
    lhs, rhs = jnp.ones(shape), normal(1, 3, 3, 3, 4)
    ours, theirs = (
        f(lhs, rhs, strides, "VALID", dimension_numbers=NHWC)
        for f in (conv_general_dilated, lax.conv_general_dilated)
    )
    assert ours.size == 0
    assert ours.shape == theirs.shape


@pytest.mark.parametrize(
    ("dtype", "rtol"), [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2), (jnp.float16, 3e-3)]
)
@pytest.mark.parametrize("preferred", [None, jnp.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_dtypes_are_those_of_lax(channels, dtype, rtol, preferred):
    lhs, rhs = (
        normal(0, 2, 6, 6, channels, dtype=dtype),
        normal(1, 3, 3, channels, 4, dtype=dtype),
    )
    value, *gradients = value_and_gradients(
        lambda x, k: conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=NHWC, preferred_element_type=preferred
        ),
        lhs,
        rhs,
    )
    # The gradients of lax itself fail for a preferred dtype, so the float32 ones are the judge.
    exact = value_and_gradients(
        lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=NHWC),
        lhs.astype(jnp.float32),
        rhs.astype(jnp.float32),
    )
    assert value.dtype == (preferred or dtype)
    assert {g.dtype for g in gradients} == {jnp.dtype(dtype)}
    assert_close([a.astype(jnp.float32) for a in (value, *gradients)], exact, rtol=rtol)


def test_float64():
    with jax.enable_x64(True):
        lhs, rhs = (
            normal(i, *s).astype(jnp.float64) for i, s in ((0, (2, 6, 6, 3)), (1, (3, 3, 3, 4)))
        )
        ours, theirs = (
            f(lhs, rhs, (1, 1), "SAME", dimension_numbers=NHWC)
            for f in (conv_general_dilated, lax.conv_general_dilated)
        )
        assert_close([ours], [theirs], rtol=1e-14)


def test_precision_reaches_all_three_convolutions():
    def ours(x, k):
        return conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=NHWC, precision="highest"
        )

    found = convolutions(
        lambda x, k: value_and_gradients(ours, x, k),
        *(normal(0, 2, 6, 6, 3), normal(1, 3, 3, 3, 4)),
    )
    highest = (lax.Precision.HIGHEST, lax.Precision.HIGHEST)
    assert [options["precision"] for options, _ in found] == [highest] * 3


def test_vmap_over_kernels_equals_a_loop():
    lhs, rhs = normal(0, 2, 6, 6, 3), normal(1, 5, 3, 3, 3, 4)

    def convolve(kernel):
        return conv_general_dilated(lhs, kernel, (1, 1), "SAME", dimension_numbers=NHWC)

    assert_close([jax.vmap(convolve)(rhs)], [jnp.stack([convolve(k) for k in rhs])], rtol=1e-6)


@pytest.mark.parametrize(
    ("lhs", "rhs", "layout", "options"),
    [
        ((2, 6, 6, 4), (3, 3, 2, 4), NHWC, {"feature_group_count": 2}),
        ((2, 6, 6, 4), (3, 3, 4, 4), NHWC, {"batch_group_count": 2}),
        ((2, 6, 6, 3), (3, 3, 3, 4), NHWC, {"lhs_dilation": (2, 1)}),
        ((2, 3, 6, 6), (4, 3, 3, 3), None, {}),
        ((2, 6, 6, 3), (4, 3, 3, 3), ("NHWC", "OIHW", "NHWC"), {}),
        ((2, 6, 3), (3, 3, 4), ("NWC", "WIO", "NWC"), {}),
        ((2, 4, 4, 4, 3), (3, 3, 3, 3, 4), ("NHWDC", "HWDIO", "NHWDC"), {}),
    ],
    ids=["groups", "batch groups", "dilated", "NCHW", "OIHW", "1-D", "3-D"],
)
def test_anything_else_is_left_to_lax(lhs, rhs, layout, options):
    images, kernel = normal(0, *lhs), normal(1, *rhs)
    n = len(lhs) - 2

    def ours(x, k):
        return conv_general_dilated(
            x, k, (1,) * n, [(1, 1)] * n, dimension_numbers=layout, **options
        )

    assert primitives(ours, images, kernel) == {"conv_general_dilated"}
    theirs = lax.conv_general_dilated(
        images, kernel, (1,) * n, [(1, 1)] * n, dimension_numbers=layout, **options
    )
    np.testing.assert_array_equal(ours(images, kernel), theirs)


def test_other_backends_are_left_to_lax(monkeypatch):
    monkeypatch.setattr(convolution.jax, "default_backend", lambda: "gpu")
    found = primitives(
        lambda x, k: conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=NHWC),
        *(normal(0, 2, 6, 6, 3), normal(1, 3, 3, 3, 4)),
    )
    assert found == {"conv_general_dilated"}


@pytest.mark.parametrize(
    ("kernel", "strides", "padding"),
    [
        (jnp.ones((3, 3, 2, 4)), (1, 1), "SAME"),
        (jnp.ones((3, 3, 3, 4), jnp.bfloat16), (1, 1), "SAME"),
        (jnp.ones((3, 3, 3, 4)), (1,), "SAME"),
        (jnp.ones((3, 3, 3, 4)), (1, 1), [(1, 1)]),
    ],
    ids=["channels", "dtype", "strides", "padding"],
)
def test_refuses_what_lax_refuses_in_its_words(kernel, strides, padding):
    images = jnp.ones((2, 6, 6, 3))
    with pytest.raises((TypeError, ValueError)) as theirs:
        lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=NHWC)
    with pytest.raises(theirs.type) as ours:
        conv_general_dilated(images, kernel, strides, padding, dimension_numbers=NHWC)
    assert str(ours.value) == str(theirs.value)


OPTIONS = {
    "plain": {},
    "strided": {"strides": 2},
    "circular": {"padding": "CIRCULAR"},
    "pairs": {"padding": ((1, 0), (2, 1))},
    "kernel dilated": {"kernel_dilation": 2},
    "input dilated": {"input_dilation": 2, "padding": ((1, 1), (1, 1))},
    "groups": {"feature_group_count": 2},
    "bfloat16": {"dtype": jnp.bfloat16},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_in_linen(options, batch):
    x = normal(0, *batch, 8, 8, 4)
    plain = nn.Conv(6, (3, 3), **options)
    params = plain.init(jax.random.key(1), x)
    ours = plain.clone(conv_general_dilated=conv_general_dilated)
    assert_close(
        [ours.apply(params, x)], [plain.apply(params, x)], rtol=1e-2 if "dtype" in options else 1e-5
    )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_in_nnx(options):
    x = normal(0, 2, 8, 8, 4)
    plain, ours = (
        nnx.Conv(4, 6, (3, 3), conv_general_dilated=f, rngs=nnx.Rngs(1), **options)
        for f in (lax.conv_general_dilated, conv_general_dilated)
    )
    assert_close([ours(x)], [plain(x)], rtol=1e-2 if "dtype" in options else 1e-5)


def test_in_nnx_with_a_preferred_dtype():
    layer = nnx.Conv(
        4,
        6,
        (3, 3),
        dtype=jnp.bfloat16,
        preferred_element_type=jnp.float32,
        use_bias=False,
        conv_general_dilated=conv_general_dilated,
        rngs=nnx.Rngs(1),
    )
    assert layer(normal(0, 2, 8, 8, 4)).dtype == jnp.float32


@pytest.mark.parametrize("shape", [(3, 3, 1, 4), (3, 3, 3, 4)], ids=str)
def test_a_gradient_may_be_differentiated_forwards(shape):
    """The Hessian's product with a vector, as sharpness is measured."""
    lhs, rhs, along = normal(0, 2, 6, 5, shape[2]), normal(1, *shape), normal(2, *shape)

    def product(convolve):
        def loss(k):
            return jnp.sum(convolve(lhs, k, (1, 1), "SAME", dimension_numbers=NHWC) ** 3)

        return jax.jvp(jax.grad(loss), (rhs,), (along,))

    assert_close(product(conv_general_dilated), product(lax.conv_general_dilated), rtol=1e-5)
