"""A run on disk: what training goes on with comes back bit for bit, whatever it is made of."""

import jax
import jax.numpy as jnp
import numpy as np

from lrdecay.study.saved import leaves, load_record, load_state, restored, save, steps_on


def test_state_of_every_kind_comes_back(tmp_path):
    under_way = {
        "bfloat16": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3) / 7,
        "float32": jnp.array([jnp.nan, 1e-45], jnp.float32),
        "int32": jnp.array([3, -1], jnp.int32),
        "bool": jnp.array([True, False]),
        "key": jax.random.split(jax.random.key(5), 2),
    }
    record = {"loss": np.arange(4, dtype=np.float32), "test_loss": np.array(2, np.float32)}
    for row in (0, 1):
        path = tmp_path / f"{row}.npz"
        assert steps_on(path) == 0
        save(path, record, [x[row, ...] for x in leaves(under_way)])
        assert steps_on(path) == 4
        assert load_record(path).keys() == record.keys()
    rows = zip(*(load_state(tmp_path / f"{row}.npz") for row in (0, 1)), strict=True)
    back = restored(list(map(np.stack, rows)), like=under_way)
    for name, array in under_way.items():
        assert back[name].dtype == array.dtype
    for one, other in zip(leaves(back), leaves(under_way), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def test_a_run_that_is_over_has_no_state(tmp_path):
    save(tmp_path / "run.npz", {"loss": np.zeros(2, np.float32)}, [])
    assert load_state(tmp_path / "run.npz") == []
