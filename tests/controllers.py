"""Decisions of other libraries' loss-aware schedulers, recorded with base 1; versions inside.

In PyTorch, Keras and Transformers, `lrs` has the rate after each observation; in Optax it is the
scale of the update that brought it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

_RECORDED = json.loads((Path(__file__).parent / "data" / "controllers.json").read_text())

# A NaN is kept as null, since JSON has none.
TRACES = {
    name: np.array([np.nan if x is None else float(x) for x in values], np.float32)
    for name, values in _RECORDED["traces"].items()
}


def recorded(peer: str) -> list[tuple[str, dict[str, Any], np.ndarray]]:
    """The cases of a peer, such as "torch_plateau": name of the trace, arguments and rates."""
    return [(c["trace"], c["params"], np.array(c["lrs"])) for c in _RECORDED[peer]]
