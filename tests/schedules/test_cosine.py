import numpy as np

import lrdecay

END = 2**31 - 1


def test_ends_are_exact_and_held():
    for make in (lrdecay.cosine, lrdecay.k_decay, lrdecay.rex, lrdecay.tanh):
        schedule = make(0.3, 1000, end_value=0.007)
        assert schedule(0) == np.float32(0.3)
        for t in (1000, 1001, 10_000, END):
            assert schedule(t) == np.float32(0.007)
    assert lrdecay.cosine(0.3, 1000, 0.007, half_cycles=2)(END) == np.float32(0.3)


def test_the_tail_of_a_long_cosine_keeps_its_relative_accuracy():
    n = 100_000_000
    schedule = lrdecay.cosine(1.0, n)
    for left in (1, 2, 3, 100, 12345):
        expected = np.sin(np.pi / 2 * left / n) ** 2
        np.testing.assert_allclose(schedule(n - left), expected, rtol=1e-6)


def test_a_restart_is_at_its_peak_and_the_step_before_near_the_end():
    schedule = lrdecay.cosine_restarts(1.0, 10, 0.1, length_factor=3.0, peak_factor=0.5)
    # Cycles begin at 0, 10, 40, 130, 400 and 1210, where timm's logarithm is one off.
    for i, t in enumerate((0, 10, 40, 130, 400, 1210)):
        np.testing.assert_allclose(schedule(t), 0.1 + 0.9 * 0.5**i, rtol=1e-6)
        if t:
            assert schedule(t - 1) < 0.13
