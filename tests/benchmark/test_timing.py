"""The timing of calls, and the counts and the rooflines that it is set against."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrdecay.benchmark import timing
from lrdecay.benchmark.timing import cost, in_turn, spread


def test_a_spread_has_the_quartiles():
    measured = spread(np.array([5.0, 1.0, 2.0, 4.0, 3.0]))
    assert measured == timing.Spread(n=5, minimum=1.0, low=2.0, median=3.0, high=4.0)


def test_calls_take_turns_and_the_first_round_does_not_count():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = in_turn(calls, repeats=3)
    assert order == [*"abc", *"bca", *"cab", *"abc"]
    assert list(seconds) == ["a", "b", "c"]
    assert all(times.shape == (3,) and (times > 0).all() for times in seconds.values())


def test_a_call_is_timed_until_its_result_is_there(monkeypatch):
    clock, waited = [0.0], []

    def wait(result):
        waited.append(result)
        clock[0] += 7.0

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(timing.jax, "block_until_ready", wait)
    assert in_turn({"a": lambda: "result"}, repeats=2)["a"].tolist() == [7.0, 7.0]
    assert waited == ["result"] * 3


@pytest.mark.parametrize("shape", [(8, 16, 4), (3, 5, 7)])
def test_a_matrix_product_has_the_operations_of_its_formula(shape):
    n, k, m = shape
    a = jax.ShapeDtypeStruct((n, k), jnp.float32)
    b = jax.ShapeDtypeStruct((k, m), jnp.float32)
    counted = cost(jnp.matmul, a, b)
    assert counted.flops == 2 * n * k * m
    assert counted.bytes_accessed >= 4 * (n * k + k * m + n * m)


def test_the_body_of_a_loop_counts_as_often_as_it_runs():
    x = jax.ShapeDtypeStruct((64, 64), jnp.float32)

    @jax.checkpoint
    def inner(y):
        return jax.lax.fori_loop(0, 3, lambda i, z: z @ z, y @ y)

    def outer(x):
        return jax.lax.fori_loop(0, 10, lambda i, y: inner(y), x @ x)

    # One before the loop, and in each of its ten rounds one and three.
    assert cost(outer, x).flops == pytest.approx(41 * 2 * 64**3, rel=1e-3)
    # Each reads one matrix and writes one.
    assert cost(outer, x).bytes_accessed >= 41 * 2 * 4 * 64**2


def test_fusion_saves_bytes():
    x = jax.ShapeDtypeStruct((1000,), jnp.float32)
    assert cost(lambda x: jnp.sin(x) * 2 + 1, x).bytes_accessed == 2 * 4 * 1000


def test_a_roofline_is_the_best_of_the_sizes_and_stops_at_the_first_slow_one():
    seen = []

    def measure(size):
        seen.append(size)
        return 100.0, {1: 0.1, 2: 0.05, 3: 1.0, 4: 0.001}[size]

    assert timing._best((1, 2, 3, 4), measure) == 2000.0
    assert seen == [1, 2, 3]


def test_rooflines_are_what_the_device_reaches(monkeypatch):
    monkeypatch.setattr(timing, "_MATRICES", (64, 128))
    monkeypatch.setattr(timing, "_VECTORS", (2**16,))
    reached = timing.rooflines()
    # Between a pocket calculator and the fastest machine there is.
    assert 1e6 < reached.flops_per_second < 1e18
    assert 1e6 < reached.bytes_per_second < 1e18
