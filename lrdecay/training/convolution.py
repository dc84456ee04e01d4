"""A convolution that stays fast inside of loops on the CPU."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_NHWC = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))  # as lax.ConvDimensionNumbers spells it


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> jax.Array:
    """`jax.lax.conv_general_dilated`, for the argument of that name of Flax's `Conv`.

    XLA's convolution for the CPU is many times slower inside a loop body, such as a scan over
    training steps (jax issue 12868). There, the plain two-dimensional convolution of images is
    written as shifted slices, one for each place of the kernel, and one matrix product. Anything
    else, and any other backend, is left to `lax`.

    Args:
      lhs: images, [batch, height, width, channels].
      rhs: kernel, [height, width, channels, features].
      window_strides: see `lax.conv_general_dilated`, as for the other arguments.
      padding: "SAME", "SAME_LOWER", "VALID", or pairs.
      lhs_dilation: dilation of the image; any but 1 is left to `lax`.
      rhs_dilation: dilation of the kernel.
      dimension_numbers: the layout; any but NHWC, HWIO, NHWC is left to `lax`.
      feature_group_count: groups of channels; any but 1 is left to `lax`.
      batch_group_count: groups of the batch; any but 1 is left to `lax`.
      precision: precision of the product.
      preferred_element_type: dtype of the product.

    Returns:
      [batch, height, width, features].
    """
    layout = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    plain = (
        jax.default_backend() == "cpu"
        and lhs.ndim == 4
        and tuple(layout) == _NHWC
        and feature_group_count == batch_group_count == 1
        and (lhs_dilation is None or math.prod(lhs_dilation) == 1)
    )
    if not plain:
        return lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            layout,
            feature_group_count,
            batch_group_count,
            precision,
            preferred_element_type,
        )
    dilation = (1, 1) if rhs_dilation is None else rhs_dilation
    extent = [(k - 1) * d + 1 for k, d in zip(rhs.shape[:2], dilation, strict=True)]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], extent, window_strides, padding)
    padded = jnp.pad(lhs, ((0, 0), *padding, (0, 0)))
    steps = tuple(window_strides)
    size = [(n - e) // s + 1 for n, e, s in zip(padded.shape[1:3], extent, steps, strict=True)]

    def shifted(row: int, column: int) -> jax.Array:
        start = (row * dilation[0], column * dilation[1])
        stop = [b + (n - 1) * s + 1 for b, n, s in zip(start, size, steps, strict=True)]
        return padded[:, start[0] : stop[0] : steps[0], start[1] : stop[1] : steps[1]]

    height, width, channels, features = rhs.shape
    patches = jnp.concatenate([shifted(i, j) for i in range(height) for j in range(width)], axis=-1)
    kernel = rhs.reshape(height * width * channels, features)
    return lax.dot_general(
        patches,
        kernel,
        (((3,), (0,)), ((), ())),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
