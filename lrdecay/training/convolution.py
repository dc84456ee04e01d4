"""A convolution that stays fast inside of loops on the CPU."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

_NHWC = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: lax.ConvGeneralDilatedDimensionNumbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
    out_sharding: Any = None,
) -> jax.Array:
    """`jax.lax.conv_general_dilated`, for the argument of that name of Flax's two `Conv`.

    XLA's CPU convolution is an order of magnitude slower inside a loop body, such as a scan over
    training steps, than outside of it (jax issue 12868). There, a plain convolution of images is
    written as shifted slices, one for each place in the kernel, and one matrix product. It holds
    the image once for each place: nine times the memory for a 3x3 kernel.

    Args:
      lhs: images, [batch, height, width, channels].
      rhs: kernel, [height, width, channels, features], of the same dtype.
      window_strides: a stride for each of the two dimensions.
      padding: "SAME", "SAME_LOWER", "VALID", or a (low, high) pair for each dimension.
      lhs_dilation: dilation of the images; any but 1 is left to `lax`.
      rhs_dilation: dilation of the kernel.
      dimension_numbers: the layout; any but NHWC, HWIO, NHWC is left to `lax`.
      feature_group_count: groups of channels; any but 1 is left to `lax`.
      batch_group_count: groups of the batch; any but 1 is left to `lax`.
      precision: precision of the product.
      preferred_element_type: dtype of the result; that of the inputs by default.
      out_sharding: sharding of the result; any is left to `lax`.

    Returns:
      [batch, height, width, features].

    Raises:
      TypeError, ValueError: whatever `lax.conv_general_dilated` refuses when traced, in its words.
    """
    layout = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    convolve = functools.partial(
        lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=layout,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    if (
        jax.default_backend() != "cpu"
        or layout != _NHWC
        or feature_group_count * batch_group_count != 1
        or any(d != 1 for d in lhs_dilation or ())
        or out_sharding is not None
    ):
        return convolve(lhs, rhs)
    # Tracing the original checks the arguments and gives the shape of the result.
    result = jax.eval_shape(convolve, lhs, rhs)
    patches = _patches(
        lhs, rhs.shape[:2], result.shape[1:3], window_strides, padding, rhs_dilation or (1, 1)
    )
    # Both flattened to two dimensions: the gradients are then plain matrix products, too.
    flat = lax.dot(
        patches.reshape(-1, patches.shape[-1]),
        rhs.reshape(-1, rhs.shape[-1]),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    return flat.reshape(result.shape)


def _patches(
    images: jax.Array,
    window: tuple[int, ...],
    size: tuple[int, ...],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> jax.Array:
    """What each place of the result sees, [batch, *size, window height * width * channels]."""
    if isinstance(padding, str):
        extent = [(n - 1) * d + 1 for n, d in zip(window, dilation, strict=True)]
        padding = lax.padtype_to_pads(images.shape[1:3], extent, strides, padding)
    # Unlike jnp.pad, lax.pad also crops, which is what a negative padding means.
    config = [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)]
    padded = lax.pad(images, jnp.zeros((), images.dtype), config)

    def shifted(row: int, column: int) -> jax.Array:
        starts = (row * dilation[0], column * dilation[1])
        rows, columns = (
            slice(start, start + n * stride, stride)
            for start, n, stride in zip(starts, size, strides, strict=True)
        )
        return padded[:, rows, columns]

    places = [(i, j) for i in range(window[0]) for j in range(window[1])]
    return jnp.concatenate([shifted(*place) for place in places], axis=-1)
