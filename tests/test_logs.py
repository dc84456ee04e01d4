"""Readers against what the real writers write, and against files that are damaged or hostile."""

import csv
import gzip
import io
import json
import struct
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrdecay.logs import LogError, read, spans_a_decade

VALUES = [2.5, 1.25, float("nan"), float("inf"), -float("inf"), -1e-30, 3e38, 0.0]
GAPS = [2.5, None, 1.25, None, float("nan"), 0.5]


def curve(path, column="loss", **where):
    """What was recorded of a column, one value after another."""
    log = read(path, [column], where)
    assert log.present[column].all()
    return log.values[column]


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def table(rows, delimiter=","):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t"), (".csv", ";")])
def test_csv_gives_back_every_float(tmp_path, suffix, delimiter):
    rows = [["step", "loss"], *([i, repr(x)] for i, x in enumerate(VALUES))]
    path = written(tmp_path / f"log{suffix}", table(rows, delimiter))
    np.testing.assert_array_equal(curve(path), VALUES)
    assert read(path, ["loss"]).clock == "step"


def test_a_cell_that_is_empty_or_na_is_no_observation_and_nan_is_one(tmp_path):
    path = written(tmp_path / "log.csv", "epoch,loss\n0,1\n1,\n2,NA\n3,nan\n4, \n5,2\n")
    log = read(path, ["loss"])
    np.testing.assert_array_equal(log.values["loss"], [1, np.nan, 2])
    np.testing.assert_array_equal(log.at, [0, 3, 5])


def test_csv_as_spreadsheets_and_pandas_write_it(tmp_path):
    text = '\ufeff,"a, b", loss \r\n0,"1,5",2.5\r\n\r\n1,"x\ny",1.5\r\n'
    np.testing.assert_array_equal(curve(written(tmp_path / "log.csv", text)), [2.5, 1.5])


def test_lightning_rows_hold_train_or_validation_cells(tmp_path):
    rows, names = [], ["epoch", "step", "train_loss", "val_loss"]
    for epoch in range(3):
        rows += [{"epoch": epoch, "step": 10 * epoch + k, "train_loss": k} for k in (0, 5)]
        rows += [{"epoch": epoch, "step": 10 * epoch + 9, "val_loss": epoch + 0.5}]
    with (tmp_path / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    log = read(tmp_path / "metrics.csv", ["val_loss"])
    np.testing.assert_array_equal(log.values["val_loss"], [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(log.at, [9, 19, 29])
    both = read(tmp_path / "metrics.csv", ["train_loss", "val_loss"])
    np.testing.assert_array_equal(both.present["val_loss"], [False, False, True] * 3)
    np.testing.assert_array_equal(both.present["train_loss"], [True, True, False] * 3)


def test_keras_history_as_json_with_a_shorter_validation_column(tmp_path):
    history = {"loss": VALUES[:4], "val_loss": [0.5, 0.25]}
    path = written(tmp_path / "history.json", json.dumps(history))
    np.testing.assert_array_equal(curve(path), VALUES[:4])
    np.testing.assert_array_equal(curve(path, "val_loss"), [0.5, 0.25])
    assert read(path, ["loss"]).clock == "index"


@pytest.mark.parametrize("layout", ["lines", "list"])
def test_a_null_of_json_is_not_finite_and_a_key_left_out_is_no_observation(tmp_path, layout):
    rows = [
        {"step": 1, "loss": 1.0},
        {"step": 2},
        {"step": 3, "loss": None},
        {"step": 4, "loss": 2},
    ]
    text = "\n".join(map(json.dumps, rows)) + "\n" if layout == "lines" else json.dumps(rows)
    log = read(written(tmp_path / "log.jsonl", text), ["loss"])
    np.testing.assert_array_equal(log.values["loss"], [1, np.nan, 2])
    np.testing.assert_array_equal(log.at, [1, 3, 4])


def own_metrics(path):
    """As a study writes `metrics.jsonl`: a line an epoch, run after run."""
    rows = [
        {"arm": arm, "seed": seed, "epoch": epoch, "step": 10 * epoch, "val_loss": loss + epoch}
        for arm, loss in (("constant", 0), ("cosine", 100))
        for seed in (0, 1)
        for epoch in (1, 2, 3)
    ]
    return written(path / "metrics.jsonl", "\n".join(map(json.dumps, rows)))


def test_one_run_of_a_study_is_chosen_by_its_cells(tmp_path):
    log = read(own_metrics(tmp_path), ["val_loss"], {"arm": "cosine", "seed": "1"})
    np.testing.assert_array_equal(log.values["val_loss"], [101, 102, 103])
    np.testing.assert_array_equal(log.at, [10, 20, 30])


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "step goes back where seed changes from 0 to 1: .* --where seed=0"),
        ({"seed": "0"}, "where arm changes from constant to cosine: .* --where arm=constant"),
    ],
)
def test_several_runs_in_one_log_are_refused(tmp_path, where, message):
    with pytest.raises(LogError, match=message):
        read(own_metrics(tmp_path), ["val_loss"], where)


def test_a_resumed_run_is_counted_by_rows(tmp_path):
    path = written(tmp_path / "log.csv", "step,loss\n1,5\n2,4\n3,3\n2,4\n3,2\n")
    log = read(path, ["loss"])
    assert log.clock == "index"
    np.testing.assert_array_equal(log.at, range(5))


@pytest.mark.parametrize(
    ("header", "clock"),
    [("epoch,step", "step"), ("epoch,global_step", "global_step"), ("epoch,x", "epoch")],
)
def test_the_finest_clock_counts(tmp_path, header, clock):
    path = written(tmp_path / "log.csv", f"{header},loss\n0,7,1\n1,9,2\n")
    log = read(path, ["loss"])
    assert (log.clock, log.at.tolist()) == (clock, [0, 1] if clock == "epoch" else [7, 9])


def test_npz_columns_are_the_curves_of_its_arrays(tmp_path):
    path = tmp_path / "history.npz"
    several = np.arange(12, dtype=np.float16).reshape(2, 2, 3)
    np.savez(path, loss=np.array(VALUES), several=several, step=np.arange(len(VALUES)), best=1.0)
    np.testing.assert_array_equal(curve(path), VALUES)
    np.testing.assert_array_equal(curve(path, "several[1,0]"), [6, 7, 8])
    with pytest.raises(LogError, match=r"no column 'several'; did you mean 'several\["):
        read(path, ["several"])


@pytest.mark.parametrize("name", ["log.csv.gz", "log.JSON.GZ"])
def test_text_may_be_gzipped(tmp_path, name):
    text = "loss\n1\n2\n" if "csv" in name else '{"loss": [1, 2]}'
    (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    np.testing.assert_array_equal(curve(tmp_path / name), [1, 2])


def test_parquet_tells_null_from_nan(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"step": list(range(6)), "loss": GAPS, "arm": ["a"] * 6}
    parquet.write_table(pyarrow.table(columns), tmp_path / "log.parquet", row_group_size=2)
    log = read(tmp_path / "log.parquet", ["loss"], {"arm": "a"})
    np.testing.assert_array_equal(log.values["loss"], [2.5, 1.25, np.nan, 0.5])
    np.testing.assert_array_equal(log.at, [0, 2, 4, 5])


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(LogError, match=r"pip install 'lrdecay\[parquet\]'"):
        read(written(tmp_path / "log.parquet", "x"), ["loss"])


@pytest.fixture
def tensorboard():
    return pytest.importorskip("tensorboardX")


def test_scalars_of_tensorboard_among_all_else(tmp_path, tensorboard):
    writer = tensorboard.SummaryWriter(str(tmp_path))
    for step in (0, 1, 127, 128, 2**31, 2**40):
        writer.add_scalar("loss/train", 1 / (step + 1), step)
        writer.add_histogram("weights", np.arange(9.0), step)
        writer.add_text("note", "loss", step)
    writer.add_scalar("val", float("nan"), 5)
    writer.close()
    log = read(tmp_path, ["loss/train"])
    np.testing.assert_array_equal(log.at, [0, 1, 127, 128, 2**31, 2**40])
    np.testing.assert_array_equal(log.values["loss/train"], np.float32(1 / (log.at + 1)))
    np.testing.assert_array_equal(curve(tmp_path, "val"), [np.nan])
    with pytest.raises(LogError, match="no column 'weights'; allowed: loss/train, step, val"):
        read(tmp_path, ["weights"])


def test_a_tensorboard_folder_of_several_files_is_read_in_order(tmp_path, tensorboard):
    for part in range(3):
        name = f".part{part}"
        with tensorboard.SummaryWriter(str(tmp_path), filename_suffix=name) as writer:
            writer.add_scalar("loss", part, part)
    np.testing.assert_array_equal(curve(tmp_path), [0, 1, 2])


def event_file(path, events):
    record_writer = pytest.importorskip("tensorboardX.record_writer")
    writer = record_writer.RecordWriter(str(path))
    for event in events:
        writer.write(event)
    writer.close()
    return path


def test_tensors_of_tensorflow_2_are_scalars_too(tmp_path, tensorboard):
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.proto.tensor_pb2 import TensorProto
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

    tensors = [
        TensorProto(dtype="DT_FLOAT", float_val=[0.5]),
        TensorProto(dtype="DT_FLOAT", tensor_content=struct.pack("<f", -0.25)),
        TensorProto(dtype="DT_DOUBLE", double_val=[1e-300]),
        TensorProto(dtype="DT_DOUBLE", tensor_content=struct.pack("<d", 0.1)),
        TensorProto(dtype="DT_FLOAT", float_val=[1, 2], tensor_shape=TensorShapeProto()),
        TensorProto(dtype="DT_STRING", string_val=[b"four"]),
    ]
    path = event_file(
        tmp_path / "events.out.tfevents.1",
        [
            Event(
                step=i, summary=Summary(value=[Summary.Value(tag="loss", tensor=t)])
            ).SerializeToString()
            for i, t in enumerate(tensors)
        ],
    )
    np.testing.assert_array_equal(curve(path), [0.5, -0.25, 1e-300, 0.1])


def test_an_event_that_is_still_being_written_is_left_out(tmp_path, tensorboard):
    with tensorboard.SummaryWriter(str(tmp_path)) as writer:
        for step in range(3):
            writer.add_scalar("loss", step, step)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for cut in (1, 4, 5, 20):
        path.write_bytes(whole[:-cut])
        np.testing.assert_array_equal(curve(path), [0, 1])
    path.write_bytes(whole + b"damage of some length")
    with pytest.raises(LogError, match=f"no event at byte {len(whole)}"):
        read(path, ["loss"])


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(payload=st.binary(max_size=60))
def test_a_record_of_any_bytes_is_a_line_of_error_at_worst(tmp_path, payload):
    path = event_file(tmp_path / "x.tfevents", [payload])
    with pytest.raises(LogError) as error:
        read(path, ["loss"])
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "name", ["a.csv", "a.json", "a.jsonl", "a.npz", "a.parquet", "a.tfevents", "a.csv.gz", "a.dat"]
)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_a_file_of_any_bytes_is_a_line_of_error(tmp_path, name, data):
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(LogError) as error:
        read(path, ["loss"])
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", "", "no rows"),
        ("a.csv", "step,loss\n", "no rows"),
        ("a.csv", "step,loss\n1,2\n3\n", "line 3 must have 2 cells, got 1"),
        ("a.csv", "loss,loss\n1,2\n", "two columns are called 'loss'"),
        ("a.csv", "step,loss\n1,abc\n", "column 'loss' must be numbers, got 'abc'"),
        ("a.csv", "step,loss\n1,\n", "column 'loss' has no values"),
        ("a.csv", 'loss\n"1\n', "unexpected end of data"),
        ("a.csv", "step,los\n1,2\n", "no column 'loss'; did you mean 'los'"),
        ("a.csv", "loss\n" + "1" * 200_000, "field larger than field limit"),
        ("a.csv", b"\xff\xfe\x00", "not a text file"),
        ("a.csv.gz", "loss\n1\n", "Not a gzipped file"),
        ("a.csv.gz", gzip.compress(b"loss\n1\n", mtime=0)[:-9], "ended before"),
        ("a.json", "[" * 200_000, "maximum recursion depth"),
        ("a.json", "[1, 2]", "rows must be objects, .*, got 1"),
        ("a.json", '{"loss": [[1]]}', r"must be numbers, got \[1\]"),
        ("a.json", '{"loss": [true]}', "must be numbers, got True"),
        ("a.json", '{"loss": [1' + "0" * 400 + "]}", "must be numbers, got 1000"),
        ("a.jsonl", '{"loss": 1}\n{oops\n', "line 2: not JSON"),
        ("a.npz", b"PK", "not an NPZ archive"),
        ("a.xlsx", "x", "unknown kind of log; allowed: .csv"),
    ],
)
def test_a_bad_file_is_refused_in_a_line_that_says_why(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(LogError, match=message) as error:
        read(path, ["loss"])
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value)) < 300 + len(str(path))


def test_pickled_arrays_are_not_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", loss=np.array([{}], object))
    with pytest.raises(LogError, match="Object arrays cannot be loaded"):
        read(tmp_path / "a.npz", ["loss"])


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(LogError, match="cannot be read: No such file"):
        read(tmp_path / "none.csv", ["loss"])
    with pytest.raises(LogError, match=r"a folder without .*; logs in it: none"):
        read(tmp_path, ["loss"])
    path = own_metrics(tmp_path)
    with pytest.raises(LogError, match=r"logs in it: metrics\.jsonl"):
        read(tmp_path, ["loss"])
    with pytest.raises(LogError, match="no row where arm is 'cosin'; did you mean 'cosine'"):
        read(path, ["val_loss"], {"arm": "cosin"})
    with pytest.raises(LogError, match="no column 'arms'; did you mean 'arm'"):
        read(path, ["val_loss"], {"arms": "cosine"})


def test_a_long_list_of_names_is_cut_short(tmp_path):
    names = [f"metric{i}" for i in range(100)]
    path = written(tmp_path / "log.csv", table([names, range(100)]))
    with pytest.raises(LogError, match=r"metric19, and 80 more$"):
        read(path, ["loss"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 10.5], True),
        ([1, 9.5], False),
        ([0, 100], False),
        ([-1, 100], False),
        ([np.nan, np.inf], False),
        ([np.inf, 1, 20, np.nan], True),
        ([], False),
    ],
)
def test_a_decade_is_spanned_by_what_is_finite_and_above_zero(values, expected):
    assert spans_a_decade(np.array(values, float)) is expected
