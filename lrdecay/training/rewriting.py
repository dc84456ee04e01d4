"""A user's own model, unchanged, with convolutions that stay fast inside of loops on the CPU."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun, jaxprs_in_params
from jax.extend.core.primitives import custom_jvp_call_p, custom_vjp_call_p

from lrdecay.training.convolution import conv_general_dilated, depthwise

P = ParamSpec("P")
R = TypeVar("R")


def fast_convolutions(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, with convolutions that stay fast inside of loops on the CPU.

    XLA's CPU convolution, in its gradients above all, is an order of magnitude slower inside a loop
    body than outside of it (jax issue 12868). The function is traced, and each
    `lax.conv_general_dilated` in it, also inside of `jit`, `remat`, `scan` and the like, is
    evaluated by `lrdecay.training.convolution`. So a model of any library will do as it is.

    Args:
      function: a function that JAX can trace.

    Returns:
      A function with the same values and derivatives up to rounding. On other backends than the
      CPU it calls the original.
    """

    @functools.wraps(function)
    def rewritten(*args: P.args, **kwargs: P.kwargs) -> R:
        if jax.default_backend() != "cpu":
            return function(*args, **kwargs)
        # The arguments are closed over, so that some may be flags.
        jaxpr, shape = jax.make_jaxpr(lambda: function(*args, **kwargs), return_shape=True)()
        return jax.tree.unflatten(jax.tree.structure(shape), jaxpr_as_fun(_rewritten(jaxpr))())

    return rewritten


def slow_convolutions(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    """The convolutions that `fast_convolutions` leaves as they are, each as its two shapes.

    Args:
      function: a function that JAX can trace.
      *args: its arguments; a `jax.ShapeDtypeStruct` stands for an array.
      **kwargs: its keyword arguments, such as flags.
    """
    jaxpr = jax.make_jaxpr(functools.partial(function, **kwargs))(*args)
    return [
        " * ".join(v.aval.str_short() for v in eqn.invars)
        for eqn in _convolutions(jaxpr.jaxpr)
        if not _is_replaceable(eqn)
    ]


def _inner(eqn: JaxprEqn) -> list[Jaxpr]:
    """The jaxprs in an operation that may be rewritten, such as the body of a scan."""
    # A rule for the derivative stays with the function that it was written for.
    if eqn.primitive in (custom_jvp_call_p, custom_vjp_call_p):
        return []
    return list(jaxprs_in_params(eqn.params))


def _convolutions(jaxpr: Jaxpr) -> list[JaxprEqn]:
    """Every convolution in a jaxpr, however deep."""
    found = []
    for eqn in jaxpr.eqns:
        if eqn.primitive is lax.conv_general_dilated_p:
            found.append(eqn)
        for inner in _inner(eqn):
            found += _convolutions(inner)
    return found


def _is_replaceable(eqn: JaxprEqn) -> bool:
    params = eqn.params
    return (
        len(params["window_strides"]) in (1, 2)
        and params["batch_group_count"] == 1
        and params["out_sharding"] is None
    )


def _rewritten(part: Any) -> Any:
    """A jaxpr, or a parameter of an operation, with the convolutions in it replaced."""
    if isinstance(part, tuple):
        return tuple(_rewritten(item) for item in part)
    if isinstance(part, Jaxpr):
        return part.replace(eqns=[_replacement(eqn) for eqn in part.eqns])
    if isinstance(part, ClosedJaxpr):
        return part.replace(jaxpr=_rewritten(part.jaxpr))
    return part


def _replacement(eqn: JaxprEqn) -> JaxprEqn:
    """The same operation with the convolutions in it replaced, or a call in place of one."""
    if eqn.primitive is not lax.conv_general_dilated_p:
        if any(_convolutions(inner) for inner in _inner(eqn)):
            return eqn.replace(params={k: _rewritten(v) for k, v in eqn.params.items()})
        return eqn
    if not _is_replaceable(eqn):
        return eqn
    convolve = jax.jit(functools.partial(_convolve, **eqn.params))
    (call,) = jax.make_jaxpr(convolve)(*(v.aval for v in eqn.invars)).eqns
    return eqn.replace(primitive=call.primitive, params=call.params, effects=call.effects)


def _convolve(
    lhs: jax.Array,
    rhs: jax.Array,
    *,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: lax.ConvDimensionNumbers,
    feature_group_count: int,
    precision: lax.PrecisionLike,
    preferred_element_type: Any,
    **_: Any,
) -> jax.Array:
    """A convolution in one or two dimensions, by plain convolutions of images."""
    batch, channels, *places = dimension_numbers.lhs_spec
    features, inputs, *window = dimension_numbers.rhs_spec
    lhs = lhs.transpose(batch, *places, channels)
    rhs = rhs.transpose(*window, inputs, features)
    if any(d != 1 for d in lhs_dilation):
        padded = zip(padding, lhs_dilation, strict=True)
        lhs = _pad(lhs, [(low, high, dilation - 1) for (low, high), dilation in padded])
        padding = [(0, 0)] * len(padding)
    if is_line := len(window) == 1:
        lhs, rhs = lhs[:, None], rhs[None]
        window_strides, rhs_dilation = (1, *window_strides), (1, *rhs_dilation)
        padding = [(0, 0), *padding]
    if lhs.shape[-1] == feature_group_count > 1:
        dtype = preferred_element_type or lhs.dtype
        result = depthwise(lhs, rhs, window_strides, padding, rhs_dilation).astype(dtype)
    else:
        groups = zip(*(jnp.split(x, feature_group_count, axis=-1) for x in (lhs, rhs)), strict=True)
        results = [
            conv_general_dilated(
                images,
                kernel,
                window_strides,
                padding,
                rhs_dilation=rhs_dilation,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                precision=precision,
                preferred_element_type=preferred_element_type,
            )
            for images, kernel in groups
        ]
        result = jnp.concatenate(results, axis=-1)
    result = result[:, 0] if is_line else result
    batch, channels, *places = dimension_numbers.out_spec
    return result.transpose(np.argsort((batch, *places, channels)))


def _pad(images: jax.Array, padding: Sequence[tuple[int, int, int]]) -> jax.Array:
    """Pads, dilates and, where negative, crops all but the first and last dimension with zeros."""
    none = (0, 0, 0)
    return lax.pad(images, jnp.zeros((), images.dtype), [none, *padding, none])
