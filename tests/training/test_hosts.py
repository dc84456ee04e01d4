"""Two real processes against one: the same study, the same numbers."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from lrdecay.training.hosts import connect

TESTS = Path(__file__).parents[1]
# A stream that writes down the seeds and epochs that a process asks of it.
HEARD = """
import dataclasses
import jax
import tiny
from lrdecay.training.streaming import Stream

def streamed():
    source = tiny.streamed()
    def load():
        data = source.load()
        def batches(seed, epoch, batch_size):
            with open(f"asked-{jax.process_index()}", "a") as file:
                print(seed, epoch, file=file)
            return data.train.batches(seed, epoch, batch_size)
        return data._replace(train=Stream(batches, data.train.size))
    return dataclasses.replace(source, load=load)
"""
HALVING = (
    "arms.slow={name='constant', value=1e-3}",
    "arms.fast={name='constant', value=0.3}",
    "successive_halving={min_epochs=1, reduction_factor=2}",
)
DEVICES = {"JAX_NUM_CPU_DEVICES": "2"}
QUICKLY = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # as the fixture compiled_quickly does


def start(folder, out, *settings, **environment):
    """`lrdecay run` in a process of its own."""
    call = "import sys; from lrdecay.cli import main; sys.exit(main())"
    command = (sys.executable, "-c", call, "run", str(folder / "study.toml"))
    own = {
        "PYTHONPATH": os.pathsep.join([*sys.path, str(TESTS)]),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
    }
    return subprocess.Popen(
        [*command, *settings, "--out", str(folder / out)],
        env=os.environ | own | QUICKLY | environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process):
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    return printed


def history(folder):
    with np.load(folder / "history.npz") as arrays:
        return dict(arrays)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "placement"),
    [
        ("tiny:data", HALVING),
        ("tiny:data", ("placement.groups=1", "placement.sharing=4")),
        ("heard:streamed", ("placement.groups=2", "placement.sharing=2")),
    ],
)
def test_two_processes_are_as_one(tmp_path, data, placement):
    (tmp_path / "study.toml").write_text(tiny.TOML)
    (tmp_path / "heard.py").write_text(HEARD)
    study = ("seeds=4", f"data.name={data}", *(HALVING if placement is HALVING else ()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    both = [
        start(tmp_path, "two", *placement, *study, "--hosts", f"{address},2,{index}", **DEVICES)
        for index in (0, 1)
    ]
    first, second = map(end, both)
    assert "constant: done" in first
    assert "constant" not in second
    assert ("retired after epoch 1" in first) == (placement is HALVING)
    assert "retired" not in second
    if data == "heard:streamed":
        # Runs go to the processes by turns. The first mini-batch of all is a check of the data.
        for index in (0, 1):
            asked = (tmp_path / f"asked-{index}").read_text().splitlines()
            epochs = [f"{seed} {epoch}" for seed in (index, index + 2) for epoch in (0, 1, 2, 0)]
            assert asked == ["0 0", *epochs]
    end(start(tmp_path, "one", *study, JAX_NUM_CPU_DEVICES="4"))
    for name, array in history(tmp_path / "one").items():
        np.testing.assert_allclose(history(tmp_path / "two")[name], array, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ("all", "hosts must be 'auto' or 'ADDRESS:PORT,PROCESSES,INDEX', got 'all'"),
        ("here:80,2", "hosts must be"),
        ("here,2,0", "hosts must be"),
        ("here:80,2,x", "hosts must be"),
        ("here:80,2,2", r"the INDEX of hosts must be an integer in \[0, 1\], got 2"),
    ],
)
def test_who_takes_part_must_be_said_in_full(hosts, words):
    with pytest.raises(ValueError, match=words):
        connect(hosts)
