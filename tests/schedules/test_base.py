import jax
import numpy as np
import optax
import pytest

import lrdecay


def test_a_number_is_a_constant_schedule():
    assert lrdecay.schedules.as_schedule(0.5)(7) == 0.5
    with pytest.raises(ValueError, match="base must be a number of at least 0, got -1"):
        lrdecay.schedules.as_schedule(-1, "base")


@jax.numpy_dtype_promotion("standard")  # which Optax's own schedules need
def test_optax_schedules_are_accepted_wherever_a_schedule_is():
    line = optax.linear_schedule(0.0, 1.0, 4)
    steps = np.arange(8)
    rising = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    for schedule, expected in (
        (lrdecay.join([line, 0.5], [4]), [0, 0.25, 0.5, 0.75, 0.5, 0.5, 0.5, 0.5]),
        (lrdecay.warmup(optax.constant_schedule(1.0), 4), rising),
        (lrdecay.product([line, 0.5]), np.multiply(rising, 0.5)),
        (lrdecay.repeat(line, 3), [0, 0.25, 0.5, 0, 0.25, 0.5, 0, 0.25]),
        (lrdecay.rescale(line, 4, 8), steps / 8),
        (lrdecay.wsd(line, 4, 2, shape="linear"), [0, 0.25, 0.5, 0.75, 1, 0.5, 0, 0]),
        (lrdecay.cyclic(0.0, 1.0, 1, 1, scale=line), [0, 0.25, 0, 0.75, 0, 1, 0, 1]),
    ):
        np.testing.assert_allclose(schedule(steps), expected, atol=1e-7)
        assert schedule(0).dtype == np.float32


@pytest.mark.parametrize(
    "build",
    [
        lambda s: lrdecay.warmup(s, 10),
        lambda s: lrdecay.join([0.1, s], [10]),
        lambda s: lrdecay.wsd(s, 10, 10),
        lambda s: lrdecay.repeat(s, 10),
    ],
)
def test_a_loss_aware_schedule_is_no_part_of_a_schedule_of_the_step(build):
    aware = lrdecay.loss_aware(0.1, when=lrdecay.plateau(), how=lrdecay.multiply())
    with pytest.raises(TypeError, match=r"must be a schedule of the step alone, got LossAware"):
        build(aware)
