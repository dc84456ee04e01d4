"""The README's own lines: its Python runs, its configuration plans, its files are there."""

import re
import sys
import tomllib
import types
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from lrdecay.study.plan import plan

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@jax.numpy_dtype_promotion("standard")  # as a reader has it
def test_its_python_runs_and_does_what_it_says(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names = {}
    first, second, third, fourth, _ = blocks("python")
    exec(first, names)
    assert names["lrdecay"].learning_rate(names["opt_state"]) == 0.0  # the first step of a warmup
    exec(second, names)
    assert names["lrdecay"].learning_rate(names["opt_state"]) == np.float32(0.1)
    assert names["lrdecay"].watched(names["opt_state"]) == ("accuracy",)
    exec(third, names)
    said = re.search(r"# (rate .*)", third)
    assert said is not None
    assert capsys.readouterr().out.strip() == said[1]
    exec(fourth, names)
    assert capsys.readouterr().out.startswith("[")
    assert len(names["replayed"].learning_rate) == len(names["curve"]) + 1


@pytest.mark.parametrize("by_grain", [False, True])
def test_its_stream_is_a_data_set_of_a_study(monkeypatch, tmp_path, by_grain):
    if by_grain:
        pytest.importorskip("grain")
    module = types.ModuleType("photos")
    exec(blocks("python")[-1], vars(module))
    monkeypatch.setitem(sys.modules, "photos", module)
    images = np.arange(2070, dtype=np.float32)[:, None, None, None] * np.ones((2, 2, 1), np.float32)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "labels.npy", np.arange(2070, dtype=np.int32) % 10)
    section = (
        f'data={{name="photos:photos", folder="{tmp_path}", by_grain={str(by_grain).lower()}}}'
    )
    study = plan(tiny.config(section, "batch_size=16"))
    assert study.run.steps_per_epoch == 4
    data = study.load()
    assert data.validation.images[0, 0, 0, 0] == 70
    assert data.test.labels[-1] == 9
    seen = [chunk.images[..., 0, 0, 0].ravel() for chunk in data.chunks(0, 1, 7, 5)]
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(70))


def test_its_configuration_plans():
    config, halving = blocks("toml")
    study = plan({"name": "study", **tomllib.loads(config)})
    assert [arm.name for arm in study.arms] == ["constant", "cosine", "plateau"]
    assert study.stages == ((20, 3),)
    halved = plan({"name": "study", **tomllib.loads(config), **tomllib.loads(halving)})
    assert halved.stages == ((2, 3), (6, 2), (18, 2), (20, 2))


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"\b(?:configs|experiments)/[\w/.]*\w", README)))
)
def test_what_it_points_to_is_there(path):
    assert (ROOT / path).exists()
