"""Running a plan: pairs, resuming, and the record against plain Python."""

import dataclasses
import itertools
import json
import math

import jax
import numpy as np
import pytest
import tiny

from lrdecay.study import waves
from lrdecay.study.folder import Folder
from lrdecay.study.history import load
from lrdecay.study.plan import plan
from lrdecay.study.run import identity, run, versions
from lrdecay.training.placement import Placement

EPOCHS, PER_EPOCH, SEEDS = 8, 4, (3, 0)
STEPS = EPOCHS * PER_EPOCH

# Every form of schedule, and rates high enough that the accuracy goes up and down.
ARMS = """
[arms.constant]
name = "constant"
value = 0.3

[arms.twin]
name = "constant"
value = 0.3

[arms.cosine]
name = "warmup"
warmup_epochs = 1.5
schedule = {name = "cosine", init_value = 0.3, decay_fraction = 0.5, end_value = 0.01}

[arms.step]
name = "step"
init_value = 0.3
decay_epochs = 2
factor = 0.5

[arms.accuracy]
name = "loss_aware"
base = {name = "linear", init_value = 0.3, end_value = 0.1, decay_steps = 20}
when = {name = "plateau", monitor = "val_accuracy", mode = "max", patience = 2, cooldown = 1}
how = {name = "rungs", values = [1, 0.5, 0.1]}

[arms.loss]
name = "loss_aware"
base = 0.3
when = {name = "plateau", patience = 4, rtol = 0.01}
how = {name = "multiply", factor = 0.5}
"""
CONFIG = (f"epochs={EPOCHS}", f"seeds={list(SEEDS)}")


def fields(history):
    return dataclasses.asdict(history)


def assert_bitwise_equal(history, other):
    for name, array in fields(history).items():
        theirs = getattr(other, name)
        assert array.dtype == theirs.dtype
        assert array.tobytes() == theirs.tobytes(), name


ALONE = Placement(groups=1, sharing=1, lanes=1)


def execute(study, path, on_progress=lambda arm, seed, steps: None, placement=ALONE):
    folder = Folder(path)
    folder.check(identity(study), overwrite=False)
    folder.open(identity(study), overwrite=False)
    history, timing = run(study, study.load(), folder, placement, on_progress)
    return history, timing, folder


@pytest.fixture(scope="module")
def study():
    return plan(tiny.config(*CONFIG, arms=ARMS))


@pytest.fixture(scope="module")
def done(study, tmp_path_factory):
    """The study run from end to end: history, timing, folder, progress."""
    told = []
    result = execute(study, tmp_path_factory.mktemp("done"), lambda *what: told.append(what))
    return *result, told


@pytest.fixture
def record(study, done):
    """The history of one arm, by name."""

    def of(name):
        index = [arm.name for arm in study.arms].index(name)
        return {field: array[index] for field, array in fields(done[0]).items()}

    return of


def test_the_record_has_every_step_and_epoch(study, done):
    history, _, folder, _ = done
    arms = len(study.arms)
    for name, array in fields(history).items():
        clock = EPOCHS if name.startswith("val_") else STEPS
        once = name.startswith(("train_", "test_"))
        assert array.shape == ((arms, len(SEEDS)) if once else (arms, len(SEEDS), clock))
        assert array.dtype == (np.int32 if name == "fires" else np.float32)
        assert np.isfinite(array).all()
    assert_bitwise_equal(history, load(folder.history))


def test_training_learns(done):
    history = done[0]
    assert (history.train_loss < history.loss[..., :PER_EPOCH].mean(-1)).all()
    assert (history.train_accuracy > 0.5).all()


def test_arms_of_the_same_rate_are_bitwise_the_same(record):
    twin = record("twin")
    for name, array in record("constant").items():
        assert array.tobytes() == twin[name].tobytes()


def test_a_seed_gives_every_arm_the_same_start_and_batches(tmp_path):
    # At a rate of zero the loss of each step is that of its batch under the initial weights.
    arms = """
        [arms.cosine]
        name = "cosine"
        init_value = 0
        decay_fraction = 1
        [arms.plateau]
        name = "loss_aware"
        base = 0
        when = {name = "plateau", monitor = "val_loss", patience = 1}
        how = {name = "multiply"}
        """
    history, _, _ = execute(plan(tiny.config("seeds=3", arms=arms)), tmp_path)
    assert history.fires[1].max() > 0
    np.testing.assert_allclose(history.loss[1], history.loss[0], rtol=1e-6)
    # Batches differ from step to step and from epoch to epoch, starts from seed to seed.
    losses = np.concatenate(history.loss[0])
    assert len(np.unique(losses.round(5))) == len(losses)


def test_the_first_loss_is_the_same_in_every_arm_and_not_for_every_seed(done):
    first = done[0].loss[..., 0]
    np.testing.assert_allclose(first, np.broadcast_to(first[:1], first.shape), rtol=1e-6)
    assert len(np.unique(first[0])) == len(SEEDS)


def test_a_run_depends_on_its_seed_and_not_on_the_others(tmp_path, done):
    history, _, _ = execute(plan(tiny.config(f"epochs={EPOCHS}", "seeds=1", arms=ARMS)), tmp_path)
    for name, array in fields(done[0]).items():
        assert array[:, [SEEDS.index(0)]].tobytes() == getattr(history, name).tobytes()


@pytest.mark.parametrize("arm", ["cosine", "step", "accuracy", "loss"])
def test_a_run_does_not_depend_on_the_other_arms(study, record, tmp_path, arm):
    raw = tiny.config(*CONFIG, arms=ARMS)
    only = plan({**raw, "arms": {arm: raw["arms"][arm]}})
    history, _, _ = execute(only, tmp_path)
    for name, array in record(arm).items():
        assert array.tobytes() == getattr(history, name)[0].tobytes(), name


def test_rates_are_those_of_the_closed_forms(record):
    def constant(t):
        return 0.3

    def cosine(t):
        if t < 6:  # 1.5 epochs
            return 0.3 * t / 6
        return 0.01 + 0.29 * (1 + math.cos(math.pi * min((t - 6) / 16, 1))) / 2

    def step(t):
        return 0.3 * 0.5 ** (t // 8)

    for form in (constant, cosine, step):
        arm = record(form.__name__)
        expected = [[form(t) for t in range(STEPS)]] * len(SEEDS)
        np.testing.assert_allclose(arm["learning_rate"], expected, rtol=2e-6, atol=1e-8)
        assert not arm["fires"].any()


def fires_by_hand(values, patience, better, cooldown=0):
    """How often a plateau has fired before the first value, after the first, after the second..."""
    best, bad, fires, told, rest = None, 0, 0, [0], 0
    for value in values:
        improved = best is None or better(value, best)
        bad = 0 if improved or rest else bad + 1
        rest = max(rest - 1, 0)
        best = value if improved else best
        if bad == patience:
            fires, bad, rest = fires + 1, 0, cooldown
        told.append(fires)
    return told


def test_a_validation_metric_cuts_at_the_epoch_boundary_after_patience(record):
    arm = record("accuracy")
    for j in range(len(SEEDS)):
        accuracy = [float(x) for x in arm["val_accuracy"][j]]
        after = fires_by_hand(accuracy, 2, lambda new, best: new > best + 1e-4 * best, cooldown=1)
        fires = [after[t // PER_EPOCH] for t in range(STEPS)]
        assert arm["fires"][j].tolist() == fires
        rungs = [1, 0.5, 0.1]
        base = [0.3 - 0.2 * min(t / 20, 1) for t in range(STEPS)]
        rates = [b * rungs[min(f, 2)] for b, f in zip(base, fires, strict=True)]
        np.testing.assert_allclose(arm["learning_rate"][j], rates, rtol=1e-6)
    assert arm["fires"].max() >= 1


def test_the_training_loss_cuts_in_the_step_after(record):
    arm = record("loss")
    for j in range(len(SEEDS)):
        losses = [float(x) for x in arm["loss"][j]]
        fires = fires_by_hand(losses, 4, lambda new, best: new < best - 0.01 * best)[:-1]
        assert arm["fires"][j].tolist() == fires
        rates = [0.3 * 0.5**f for f in fires]
        np.testing.assert_allclose(arm["learning_rate"][j], rates, rtol=1e-6)
    assert (arm["fires"].max(-1) >= 2).all()


def test_progress_adds_up_to_all_the_steps(study, done):
    _, timing, _, told = done
    runs = [(arm.name, seed) for arm in study.arms for seed in SEEDS]
    assert told == [(*one, PER_EPOCH) for one in runs for _ in range(EPOCHS)]
    assert timing.steps == len(runs) * STEPS


def test_the_log_has_a_row_an_epoch_of_every_run(study, done):
    history, _, folder, _ = done

    def refuse(word):
        raise ValueError(word)

    lines = folder.metrics.read_text().splitlines()
    rows = iter([json.loads(line, parse_constant=refuse) for line in lines])
    for (i, arm), (j, seed), epoch in itertools.product(
        enumerate(study.arms), enumerate(SEEDS), range(EPOCHS)
    ):
        begin, end = epoch * PER_EPOCH, (epoch + 1) * PER_EPOCH
        row = next(rows)
        assert row == {
            "arm": arm.name,
            "seed": seed,
            "epoch": epoch + 1,
            "step": end,
            "loss": pytest.approx(history.loss[i, j, begin:end].astype(float).mean()),
            "grad_norm": pytest.approx(history.grad_norm[i, j, begin:end].astype(float).mean()),
            "learning_rate": float(history.learning_rate[i, j, end - 1]),
            "fires": history.fires[i, j, end - 1],
            "val_loss": float(history.val_loss[i, j, epoch]),
            "val_accuracy": float(history.val_accuracy[i, j, epoch]),
        }
    assert list(rows) == []


def test_a_run_that_diverges_is_recorded_and_its_log_is_strict_json(tmp_path):
    arms = "[arms.wild]\nname='constant'\nvalue=1e30"
    history, _, folder = execute(plan(tiny.config("seeds=1", arms=arms)), tmp_path)
    assert np.isnan(history.loss[0, 0, -1])
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert "NaN" not in folder.metrics.read_text()
    assert rows[-1]["loss"] is None
    assert rows[-1]["learning_rate"] == pytest.approx(1e30)


def test_a_flax_module_is_a_model_as_it_is(study, tmp_path):
    short = ("epochs=1", "seeds=1")
    wrapped, _, _ = execute(plan(tiny.config(*short)), tmp_path / "wrapped")
    bare = tiny.config(*short, "model={name='tiny:Net', hidden=[8]}")
    plain, _, _ = execute(plan(bare), tmp_path / "bare")
    assert_bitwise_equal(plain, wrapped)


def test_arms_may_have_an_optimizer_and_a_model_of_their_own(tmp_path):
    arms = """
        [arms.sgd]
        name = "constant"
        value = 0.1
        [arms.rmsprop]
        name = "constant"
        value = 0.01
        optimizer = {name = "rmsprop"}
        [arms.sgd_too]
        name = "constant"
        value = 0.1
        optimizer = {name = "sgd"}
        [arms.wide]
        name = "constant"
        value = 0.1
        model = {name = "tiny:model", hidden = [16]}
        """
    study = plan(tiny.config("epochs=1", "seeds=1", arms=arms))
    assert study.groups == ((0, 2), (1,), (3,))
    assert study.resolved["arms"]["rmsprop"]["optimizer"]["decay"] == 0.9
    history, _, _ = execute(study, tmp_path)
    sgd, rmsprop, again, wide = history.loss[:, 0]
    assert sgd.tobytes() == again.tobytes()
    # The same weights and batches at first, and another update.
    np.testing.assert_allclose(rmsprop[0], sgd[0], rtol=1e-6)
    assert abs(rmsprop[-1] - sgd[-1]) > 1e-3
    assert abs(wide[0] - sgd[0]) > 1e-3


def test_what_makes_a_study_is_its_configuration_and_versions(study):
    this = identity(study)
    assert this["config"] == study.resolved
    assert this["versions"] == versions()
    assert this["versions"]["jax"] == jax.__version__
    assert this["versions"]["device"] == "cpu: cpu"
    assert json.loads(json.dumps(this, allow_nan=False)) == this


# Resuming: two arms with two seeds and two epochs, so that progress is told eight times.

SHORT = """
[arms.constant]
name = "constant"
value = 0.3

[arms.accuracy]
name = "loss_aware"
base = 0.3
when = {name = "plateau", monitor = "val_accuracy", mode = "max", patience = 1, rtol = 10}
how = {name = "multiply", factor = 0.5}
"""


@pytest.fixture(scope="module")
def short():
    return plan(tiny.config("epochs=2", arms=SHORT))


@pytest.fixture(scope="module")
def uninterrupted(short, tmp_path_factory):
    return execute(short, tmp_path_factory.mktemp("uninterrupted"))[0]


def stopping_after(n):
    told = itertools.count(1)

    def on_progress(arm, seed, steps):
        if next(told) == n:
            raise KeyboardInterrupt

    return on_progress


def test_the_same_study_twice_is_bitwise_the_same(short, uninterrupted, tmp_path):
    with tiny.compiled_once(tmp_path / "compiled"):
        again, _, _ = execute(short, tmp_path / "again")
    assert any((tmp_path / "compiled").iterdir())  # compiled anew, too
    assert_bitwise_equal(again, uninterrupted)


@pytest.mark.parametrize("n", range(1, 9))
def test_stopped_after_any_epoch_it_resumes_bitwise_the_same(short, uninterrupted, tmp_path, n):
    with pytest.raises(KeyboardInterrupt):
        execute(short, tmp_path, stopping_after(n))
    finished = (n - 1) // 2
    files = sorted((tmp_path / "runs").iterdir())
    assert len(files) == finished
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    told = []
    history, timing, _ = execute(short, tmp_path, lambda *what: told.append(what))
    assert_bitwise_equal(history, uninterrupted)
    assert timing.steps == (4 - finished) * 8
    # A run found on disk is told of once, as a whole.
    assert sorted(steps for *_, steps in told) == [4] * 2 * (4 - finished) + [8] * finished
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files} == before


def test_stopped_time_and_again_it_still_arrives(short, uninterrupted, tmp_path):
    for finished in range(3):
        with pytest.raises(KeyboardInterrupt):
            execute(short, tmp_path, stopping_after(finished + 3))  # in the run after the next
    history, timing, _ = execute(short, tmp_path)
    assert timing.steps == 8
    assert_bitwise_equal(history, uninterrupted)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("lanes", [1, 2])
def test_a_wave_goes_on_from_its_snapshot(short, tmp_path, monkeypatch, n, lanes):
    """Four epochs of two runs at once are told of in pairs: 1 and 2, 3 and 4, and so on."""
    monkeypatch.setattr(waves, "SNAPSHOT_SECONDS", -1.0)
    placement = Placement(groups=2 // lanes, sharing=1, lanes=lanes)
    whole, _, _ = execute(short, tmp_path / "whole", placement=placement)
    with pytest.raises(KeyboardInterrupt):
        execute(short, tmp_path / "halves", stopping_after(n), placement)
    saved = n > 2  # a snapshot comes after both have been told of
    told = []
    history, timing, _ = execute(
        short, tmp_path / "halves", lambda *what: told.append(what), placement
    )
    assert timing.steps == (8 - 2 * saved) * 4
    assert told[:2] == [("constant", 0, 4), ("constant", 1, 4)]
    assert sum(steps for *_, steps in told) == 8 * 4
    assert_bitwise_equal(history, whole)


def test_what_a_kill_leaves_half_written_does_not_count(short, uninterrupted, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        execute(short, tmp_path, stopping_after(3))
    whole = (tmp_path / "runs" / "0-0.npz").read_bytes()
    for name in ("runs/.part-0-1.npz", ".part-study.json", ".part-history.npz"):
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    history, timing, folder = execute(short, tmp_path)
    assert timing.steps == 3 * 8
    assert_bitwise_equal(history, uninterrupted)
    folder.finish(report="", figure="", summary={})
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("curves.svg", "history.npz", "metrics.jsonl"),
        *("report.html", "study.json", "summary.json"),
    ]


def test_with_every_run_on_disk_only_the_record_is_put_together(short, uninterrupted, tmp_path):
    _, _, folder = execute(short, tmp_path)
    log = folder.metrics.read_bytes()
    folder.history.unlink()
    folder.metrics.unlink()
    history, timing, _ = execute(short, tmp_path)
    assert timing.steps == 0
    assert folder.metrics.read_bytes() == log
    assert_bitwise_equal(history, uninterrupted)
    assert_bitwise_equal(load(folder.history), uninterrupted)
