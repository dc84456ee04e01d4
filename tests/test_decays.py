"""Decays against closed forms in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

import lrdecay


def factors(decay, fires, since=0):
    """The factor at several counts of fires, or at several steps since the last."""
    pairs = np.broadcast_arrays(fires, since)
    return [float(decay(jnp.int32(f), jnp.int32(s))) for f, s in zip(*pairs, strict=True)]


@pytest.mark.parametrize("factor", [0.1, 0.5, 0.999, 1.0])
def test_multiply_is_a_power(factor):
    expected = [np.float64(np.float32(factor)) ** k for k in range(30)]
    np.testing.assert_allclose(factors(lrdecay.multiply(factor), range(30)), expected, rtol=2e-6)


def test_multiply_stops_at_its_floor_and_goes_above_one_for_fires_taken_back():
    decay = lrdecay.multiply(0.5, floor=0.2)
    np.testing.assert_allclose(
        factors(decay, [-2, -1, 0, 1, 2, 3, 9]), [4, 2, 1, 0.5, 0.25, 0.2, 0.2]
    )


def test_rungs_take_a_base_at_the_first_rung_down_the_ladder():
    decay = lrdecay.rungs([0.1, 0.01, 0.001])
    rates = 0.1 * np.array(factors(decay, [-1, 0, 1, 2, 3, 4]))
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.001, 0.001, 0.001], rtol=1e-6)


def test_only_the_ratios_of_rungs_matter():
    np.testing.assert_allclose(
        factors(lrdecay.rungs([0.1, 0.02, 0.001]), range(4)),
        factors(lrdecay.rungs(np.array([1.0, 0.2, 0.01])), range(4)),
        rtol=1e-6,
    )


def test_a_ladder_without_rungs_is_refused():
    with pytest.raises(ValueError, match="values must have at least one rung"):
        lrdecay.rungs([])
    with pytest.raises(ValueError, match=r"values\[1\] must be a number above 0, got 0"):
        lrdecay.rungs([0.1, 0])


SHAPES = {
    "linear": lambda x: 1 - x,
    "1-sqrt": lambda x: 1 - np.sqrt(x),
    "cosine": lambda x: (1 + np.cos(np.pi * x)) / 2,
}
SINCE = np.array([0, 1, 7, 19, 20, 21, 1000, 2**31 - 1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
def test_a_cooldown_slides_from_one_to_its_floor_and_stays(shape, floor):
    expected = floor + (1 - floor) * SHAPES[shape](np.minimum(SINCE / 20, 1))
    decay = lrdecay.cooldown(20, floor, shape)
    np.testing.assert_allclose(factors(decay, 1, SINCE), expected, rtol=2e-6, atol=1e-9)
    assert factors(decay, [1], 20) == [np.float32(floor)]
    assert factors(decay, 0, SINCE) == [1.0] * len(SINCE)


def test_a_smooth_multiply_slides_from_power_to_power():
    decay = lrdecay.smooth_multiply(0.1, 20)
    np.testing.assert_allclose(
        factors(decay, 3, SINCE), 0.1 ** (2 + np.minimum(SINCE / 20, 1)), rtol=2e-6
    )
    assert factors(decay, 0, SINCE) == [1.0] * len(SINCE)


def test_a_dip_cuts_at_once_and_climbs_back():
    decay = lrdecay.dip(0.2, 20)
    expected = 0.2 + 0.8 * np.minimum(SINCE / 20, 1)
    for fires in (1, 5):
        np.testing.assert_allclose(factors(decay, fires, SINCE), expected, rtol=2e-6)


def rates(how, moments, steps):
    """The rates of a base of 1 that a trigger changes at given moments."""
    schedule = lrdecay.loss_aware(1.0, when=lrdecay.at(moments), how=how)
    state, seen = schedule.init(), []
    for _ in range(steps):
        seen.append(float(schedule(state)))
        state = schedule.update(state)
    return seen


def test_a_second_fire_does_not_disturb_a_cooldown_and_starts_a_restart_anew():
    slide = [1, 0.75, 0.5, 0.25, 0]
    seen = rates(lrdecay.cooldown(4, shape="linear"), [2, 4], 8)
    np.testing.assert_allclose(seen, [1, 1, *slide, 0], atol=1e-7)
    seen = rates(lrdecay.restart(4, shape="linear"), [2, 4], 9)
    np.testing.assert_allclose(seen, [1, 1, *slide[:2], *slide], atol=1e-7)


def test_a_function_of_ones_own_is_a_decay():
    seen = rates(lambda fires, since: 1.0 / (1.0 + fires.astype(jnp.float32)), [1, 3], 5)
    np.testing.assert_allclose(seen, [1, 1 / 2, 1 / 2, 1 / 3, 1 / 3], rtol=1e-6)
