"""`lrdecay replay` as a user runs it: what it prints, what it draws, and what it refuses."""

import csv
import json
import re

import numpy as np
import pytest

from lrdecay.cli import main

EPOCHS = 40
LOSS = np.round(np.exp(-np.arange(EPOCHS) / 5) + 0.1 * np.cos(np.arange(EPOCHS)), 4)
ACCURACY = np.minimum(np.arange(EPOCHS) / 10, 1.0)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "val_loss", "accuracy"])
        writer.writerows(zip(range(EPOCHS), LOSS, ACCURACY, strict=True))
    return path


def plateaus(values, patience):
    """The indices of the values that end a plateau, by the rule in plain Python."""
    best, bad, ends = np.inf, 0, []
    for i, value in enumerate(values):
        best, bad = (value, 0) if value < best else (best, bad + 1)
        if bad == patience:
            ends, bad = [*ends, i], 0
    return ends


def replay(capsys, *arguments):
    """What the command prints."""
    assert main(["replay", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def fires(text):
    """The epochs after which the table says that a trigger fires, trigger by trigger."""
    found, name = {}, ""
    for line in text.splitlines():
        if start := re.match(r" (\w+:\S+)", line):
            name = start[1]
            found[name] = []
        if epoch := re.search(r"\d+\. after epoch (\d+), ", line):
            found[name].append(int(epoch[1]))
    return found


def test_the_table_says_where_each_trigger_fires_and_what_the_rate_becomes(log, capsys):
    whens = {f"plateau:patience={n},rtol=0": n for n in (2, 4, 30)}
    options = [option for when in whens for option in ("--when", when)]
    text = replay(
        capsys, log, "--column", "val_loss", *options, "--base", 0.1, "--how", "multiply:0.5"
    )
    assert fires(text) == {when: plateaus(LOSS, n) for when, n in whens.items()}
    ends = plateaus(LOSS, 2)
    assert 3 < len(ends) <= 12
    for k, end in enumerate(ends, 1):
        before, after = 0.1 * 0.5 ** (k - 1), 0.1 * 0.5**k
        said = rf"{k}\. after epoch {end}, val_loss {LOSS[end]:.4g} +{before:.3g} → {after:.3g}\b"
        assert re.search(said, text)
    assert re.search(rf"now +{0.1 * 0.5 ** len(ends):.3g}\b", text)
    assert re.search(r"patience=30,rtol=0 +never +0\.1\b", text)
    assert "val_loss: 40 values, epoch 0 to epoch 39" in text


def test_each_fire_is_followed_by_its_reason(log, capsys):
    whens = ("plateau:patience=2,rtol=0", "at:steps=[3]", "decline:patience=1,z=1.0")
    text = replay(capsys, log, "--column", "val_loss", *(x for w in whens for x in ("--when", w)))
    lines = text.splitlines()

    def reason(event):
        (at,) = [i for i, line in enumerate(lines) if f" {event} " in line]
        return lines[at + 1].strip()

    for k, end in enumerate(plateaus(LOSS, 2), 1):
        best = f"no improvement on {LOSS[: end + 1].min():.4g} for 2 observations"
        assert reason(f"{k}. after epoch {end}, val_loss {LOSS[end]:.4g}") == best
    assert reason("at:steps=[3]") == "as told beforehand"
    assert re.fullmatch(r"\S+, after a best of \S+", reason(whens[2]))


def test_a_mark_stands_under_each_fire(log, capsys):
    text = replay(capsys, log, "--column", "val_loss", "--when", "plateau:patience=4,rtol=0")
    (line,) = [line for line in text.splitlines() if "▲" in line]
    *curve, _ = [line for line in text.splitlines() if "│" in line]
    each = (len(curve[0]) - curve[0].index("│") - 1) // EPOCHS
    at = [i // each for i, mark in enumerate(line.partition("│")[2]) if mark == "▲"]
    assert at == plateaus(LOSS, 4)


def test_many_fires_are_counted_after_the_first_dozen(log, capsys):
    text = replay(capsys, log, "--column", "accuracy", "--when", "plateau:patience=1")
    assert "12. after epoch 12, accuracy 1 " in text
    assert "13. after" not in text
    assert f"and {EPOCHS - 1 - 12} more times" in text


def test_without_a_trigger_it_is_a_plateau_and_without_a_base_a_factor(log, capsys):
    text = replay(capsys, log, "--column", "val_loss")
    assert re.search(
        r"^ plateau +1\. after epoch \d+, val_loss \S+ +1 → 0\.1\b", text, re.MULTILINE
    )
    assert "The rate is 1 x multiply:0.1." in text


def test_a_trigger_may_watch_another_column(log, capsys):
    when = "plateau:patience=5,monitor=accuracy,mode=max,rtol=0"
    text = replay(capsys, log, "--column", "val_loss", "--when", when)
    assert fires(text)[when] == plateaus(-ACCURACY, 5)
    same = replay(
        capsys, log, "--column", "accuracy", "--when", "plateau:patience=5,mode=max,rtol=0"
    )
    assert list(fires(same).values()) == [plateaus(-ACCURACY, 5)]


def test_the_base_may_be_a_schedule_over_the_rows(log, capsys):
    base = "linear:1.0,end_value=0.0,decay_fraction=1.0"
    text = replay(
        capsys, log, "--column", "val_loss", "--when", "plateau:patience=4,rtol=0", "--base", base
    )
    end = plateaus(LOSS, 4)[0]
    before, after = 1 - end / EPOCHS, 0.1 * (1 - (end + 1) / EPOCHS)
    assert f"{before:.3g} → {after:.3g}" in text


def test_values_that_are_not_finite_are_told(tmp_path, capsys):
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"loss": [1.0, float("nan"), 0.5, float("inf")]}))
    assert "loss: 4 values, index 0 to index 3; 2 of them not finite" in replay(
        capsys, path, "--column", "loss"
    )
    path.write_text('{"loss": [NaN, NaN]}')
    assert "2 of them not finite" in replay(
        capsys, path, "--column", "loss", "--out", tmp_path / "a.svg"
    )


def test_one_run_is_chosen_by_where(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    rows = [{"seed": s, "epoch": e, "loss": s + e} for s in (0, 1) for e in range(3)]
    path.write_text("\n".join(map(json.dumps, rows)))
    text = replay(capsys, path, "--column", "loss", "--where", "seed=1")
    assert "loss: 3 values, epoch 0 to epoch 2" in text
    assert main(["replay", str(path), "--column", "loss"]) == 2
    assert "several runs" in capsys.readouterr().err


@pytest.mark.parametrize("values", [LOSS, np.exp(-np.arange(5000) / 300), np.zeros(1)])
@pytest.mark.parametrize("suffix", ["png", "SVG"])
def test_the_figure_is_drawn(tmp_path, capsys, values, suffix):
    path, out = tmp_path / "log.npz", tmp_path / f"figure.{suffix}"
    np.savez(path, loss=values)
    whens = ["plateau:patience=2", "plateau:patience=1000"]
    replay(capsys, path, "--column", "loss", "--when", whens[0], "--when", whens[1], "--out", out)
    data = out.read_bytes()
    if suffix == "png":
        assert data.startswith(b"\x89PNG")
    else:
        text = data.decode()
        assert text.startswith("<svg")
        assert len(text) < 1_000_000
        for shown in (*whens, "loss (triangle: the trigger fires)", "Learning rate", "index"):
            assert f">{shown}<" in text


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (
            ["--column", "val_los"],
            [r"no column 'val_los'; did you mean 'val_loss'\? allowed: epoch"],
        ),
        (
            ["--when", "plateau:patience=0", "--when", "plateau:patienc=1", "--how", "multiply:2"],
            [
                r"multiply.factor must be a number in \(0, 1\], got 2",
                "plateau: patience must be an integer of at least 1, got 0",
                "plateau.patienc: unknown key; did you mean 'patience'",
            ],
        ),
        (["--when", "platoo"], ["unknown trigger 'platoo'; did you mean 'plateau'"]),
        (["--when", "plateau:monitor=accurcy"], ["no column 'accurcy'; did you mean 'accuracy'"]),
        (["--how", "multipl:0.5"], ["unknown decay 'multipl'; did you mean 'multiply'"]),
        (["--base", "-1"], ["base must be a number of at least 0, got -1"]),
        (["--base", "cosin"], ["unknown schedule 'cosin'; did you mean 'cosine'"]),
        (["--out", "figure.pdf"], ["--out must be a .png or .svg file, got figure.pdf"]),
        (["--out", "nowhere/figure.png"], ["--out must be in a folder that is there"]),
        (["--where", "epoch"], ["--where must be COLUMN=VALUE, got 'epoch'"]),
        (["--where", "epoch=41"], ["no row where epoch is '41'"]),
    ],
)
def test_each_mistake_is_a_line_and_the_exit_code_two(log, capsys, options, messages):
    column = [] if "--column" in options else ["--column", "val_loss"]
    assert main(["replay", str(log), *column, *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert re.match(f"lrdecay: .*{message}", line)
