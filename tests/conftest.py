"""Strict JAX for every test: no silent promotion, and several devices on one CPU."""

import jax
import pytest
import tiny

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 4)


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """Programs of the same text, which many tests have, are compiled once in a process."""
    folder = tmp_path_factory.mktemp("compiled")
    with tiny.compiled_once(folder):
        yield folder


@pytest.fixture(scope="module")
def compiled_quickly():
    """See `tiny.compiled_quickly`."""
    with tiny.compiled_quickly():
        yield
