import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrdecay


def test_a_phase_of_no_steps_is_skipped():
    assert lrdecay.linear(0.3, 0.1, 0)(0) == np.float32(0.1)
    assert lrdecay.cosine(0.3, 0, 0.1)(0) == np.float32(0.1)
    assert lrdecay.warmup(0.3, 0)(0) == np.float32(0.3)
    assert lrdecay.join([0.3, 0.2, 0.1], [5, 5])(5) == np.float32(0.1)
    assert lrdecay.wsd(0.3, 0, 5)(0) == np.float32(0.3)
    assert lrdecay.wsd(0.3, 5, 0, end_value=0.1)(4) == np.float32(0.3)
    assert lrdecay.wsd(0.3, 5, 0, end_value=0.1)(5) == np.float32(0.1)


def test_a_schedule_that_is_off_does_not_poison_the_gradient():
    def inverse(scale):
        # Infinite at its step 8, which comes after its end.
        return lambda t: scale / (t.astype(float) - 8.0)

    def rate(scale):
        return lrdecay.join([inverse(scale), lambda t: scale * jnp.ones_like(t, float)], [3])(8)

    np.testing.assert_allclose(jax.grad(rate)(2.0), 1.0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: lrdecay.join([0.1, 0.2], [1, 2]),
            ValueError,
            "boundaries must be one fewer than schedules, got 2 for 2",
        ),
        (
            lambda: lrdecay.join([0.1, 0.2, 0.3], [5, 2]),
            ValueError,
            r"boundaries must not fall, got \[5, 2\]",
        ),
        (lambda: lrdecay.product([]), ValueError, "schedules must have at least one"),
        (lambda: lrdecay.rescale(0.1, 5, 9, at=6), ValueError, "old_steps must be at least the 6"),
        (lambda: lrdecay.rescale(0.1, 9, 5, at=6), ValueError, "new_steps must be at least the 6"),
        (
            lambda: lrdecay.piecewise_interpolate([0.1], [5]),
            ValueError,
            "boundaries must be one fewer than values, got 1 for 1",
        ),
        (lambda: lrdecay.table([]), ValueError, "values must have at least one rate"),
        (lambda: lrdecay.tanh(0.1, 9, 3.0, 3.0), ValueError, "upper must be above the 3.0"),
    ],
)
def test_structural_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@settings(deadline=None, max_examples=50)
@given(
    at=st.integers(0, 100),
    old=st.integers(0, 10**6),
    new=st.integers(0, 10**6),
    end=st.floats(0, 1),
)
def test_a_rescaled_schedule_goes_on_where_it_was_and_ends_where_it_would_have(at, old, new, end):
    schedule = lrdecay.cosine(1.0, at + old, end)
    rescaled = lrdecay.rescale(schedule, at + old, at + new, at)
    assert rescaled(at) == schedule(at)
    assert rescaled(at // 2) == schedule(at // 2)
    if new:
        assert rescaled(at + new) == schedule(at + old)
        assert rescaled(2 * (at + new)) == schedule(at + old)
        # No step is larger than the steepest of the schedule, stretched.
        steepest = np.pi / 2 * (1 - end) / max(at + old, 1) * old / new
        assert abs(rescaled(at + 1) - rescaled(at)) <= steepest + 1e-6


def test_a_horizon_that_does_not_change_changes_nothing():
    schedule = lrdecay.linear(1.0, 0.0, 50)
    steps = np.arange(100)
    np.testing.assert_allclose(lrdecay.rescale(schedule, 50, 50, 20)(steps), schedule(steps), 1e-6)
