"""The benchmark of triggers against theory: records, exact recursions, rules written down."""

import json
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import lrdecay
from experiments.triggers import benchmark
from experiments.triggers.families import Family
from experiments.triggers.histories import (
    HORIZON,
    LENGTH,
    SCENARIOS,
    Histories,
    autocorrelated,
    half_pays,
    student,
)
from experiments.triggers.scoring import (
    ALARM_SHARE,
    NEVER,
    Fires,
    alarm_shares,
    calibrate,
    delay,
    fires,
)

PLATEAU = Family(lrdecay.plateau, "patience", 2, 500, (("rtol", 0.0),))
BLOCKS = Family(lrdecay.plateau, "window", 10, 200, (("patience", 3),))


def silent(patience, n):
    """P(no `patience` non-records in a row among n independent values).

    The t-th value is a record with probability 1 / t, independently of the others (Rényi 1962).
    """
    in_a_row = np.zeros(patience)
    in_a_row[0] = 1.0
    for t in range(1, n + 1):
        longer = in_a_row * (1 - 1 / t)
        in_a_row = np.append(in_a_row.sum() / t, longer[:-1])
    return in_a_row.sum()


def test_the_false_alarms_of_a_plateau_on_independent_noise_are_those_of_records():
    n = 2000
    noise = jax.random.normal(jax.random.key(0), (n, LENGTH))
    settings = np.array([100, 200, 400, 700], np.int32)
    shares = alarm_shares(PLATEAU, settings, Histories(noise, jnp.full(n, LENGTH)))
    for patience, share in zip(settings.tolist(), shares, strict=True):
        exact = 1 - silent(patience, LENGTH)
        assert abs(share - exact) < 4 * np.sqrt(exact * (1 - exact) / n)


def test_a_calibrated_trigger_keeps_its_rate_of_false_alarms_on_other_histories():
    n = 1000
    setting = calibrate(BLOCKS, SCENARIOS["progress"].replicates(0, n))
    fresh = SCENARIOS["progress"].replicates(1, n)
    share = alarm_shares(BLOCKS, np.array([setting]), fresh)[0]
    # Both shares are measured.
    error = np.sqrt(2 * ALARM_SHARE * (1 - ALARM_SHARE) / n)
    assert ALARM_SHARE / 2 < share < ALARM_SHARE + 3 * error


def test_what_is_never_quiet_enough_is_not_calibrated():
    hasty = Family(lrdecay.plateau, "patience", 2, 5)
    assert calibrate(hasty, SCENARIOS["progress"].replicates(0, 40)) is None


def test_fires_are_those_of_the_rule_written_down():
    histories = SCENARIOS["plateau-nan"].replicates(2, 30)
    found = fires(PLATEAU, np.array([40, 150], np.int32), histories)
    assert found.early.any()
    assert (found.first < NEVER).any()
    for k, patience in enumerate((40, 150)):
        for i, change in enumerate(np.asarray(histories.change)):
            best, bad, fired = np.inf, 0, []
            for t, value in enumerate(np.asarray(histories.values[i]).tolist()):
                if math.isnan(value):
                    continue
                best, bad = (value, 0) if value < best else (best, bad + 1)
                if bad >= patience:
                    fired.append(t)
                    bad = 0
            assert found.early[k, i] == any(t < change for t in fired)
            assert found.first[k, i] == next((t for t in fired if t >= change), NEVER)


def test_delays_leave_out_what_fired_early_and_count_a_miss_as_the_horizon():
    change = np.full(40, 300)
    early = np.arange(40) < 10
    first = np.where(np.arange(40) < 25, 350, NEVER)
    found = delay(Fires(early, first), change)
    assert found.n == 30
    assert found.early.value == 0.25
    assert found.missed.value == 0.5
    assert found.mean == (50 + HORIZON) / 2
    assert found.p90 == HORIZON
    assert delay(Fires(np.ones(40, bool), first), change) is None


def test_the_noises_are_what_they_say():
    keys = jax.random.split(jax.random.key(0), 400)
    ar1 = np.asarray(jax.vmap(lambda k: autocorrelated(k, 0.7))(keys))
    assert abs(ar1.std() - 1) < 0.02
    assert abs(np.mean(ar1[:, 1:] * ar1[:, :-1]) - 0.7) < 0.02
    for degrees in (2, 3):
        heavy = np.asarray(jax.vmap(lambda k, d=degrees: student(k, d))(keys))
        low, high = np.quantile(heavy, (0.25, 0.75))
        np.testing.assert_allclose((low, high), scipy.stats.norm.ppf((0.25, 0.75)), atol=0.01)


@pytest.mark.parametrize("rate", [0.01, 0.05])
@pytest.mark.parametrize("start", [10.0, 900.0])
def test_half_the_rate_pays_from_the_step_on_that_it_says(rate, start):
    def after(m, rate):
        return (1 - rate) ** 2 * m + rate**2

    m, t = start * rate / (2 - rate), 0
    while after(m, rate) <= after(m, rate / 2):
        m, t = after(m, rate), t + 1
    assert abs(int(half_pays(jnp.float32(rate), jnp.float32(start))) - t) <= 1


def test_the_quick_benchmark_runs_through(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", "--quick", "--out", str(tmp_path)])
    benchmark.main()
    results = json.loads((tmp_path / "results.json").read_text())
    by_patience, by_window = results["families"]
    assert by_patience["default"]["setting"] == 10
    assert "default" not in by_window
    for family in (by_patience, by_window):
        alarms = family["calibrated"]["false_alarms"]["progress"]
        assert alarms["low"] <= alarms["value"] <= alarms["high"]
        assert np.all(np.diff(family["curve"]["false_alarms"]) <= 0.1)
    assert {p.name for p in tmp_path.iterdir()} == {"results.json", "delays.svg", "curves.svg"}
    assert "False alarms" in capsys.readouterr().out
