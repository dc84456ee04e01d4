"""What a study records: one array per quantity, with arms and seeds in the plan's order."""

import dataclasses
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class History:
    """The record of a finished study.

    An arm that was retired ends early: past its last epoch all is NaN, `fires` -1, and so are the
    scores after the last step, which it has not got to.

    Attributes:
      loss: training loss of each mini-batch, f32[arms, seeds, steps].
      grad_norm: global norm of the gradient of each step, f32[arms, seeds, steps].
      learning_rate: the rate applied in each step, f32[arms, seeds, steps].
      fires: how often the arm's triggers had fired when the step's rate was chosen,
        i32[arms, seeds, steps]; 0 throughout for a schedule of the step alone.
      val_loss: mean validation loss after each epoch, f32[arms, seeds, epochs].
      val_accuracy: share of right answers, 0 to 1, f32[arms, seeds, epochs].
      train_loss: mean loss over the whole training set after the last step, f32[arms, seeds].
      train_accuracy: the same for accuracy, f32[arms, seeds].
      test_loss: mean test loss after the last step, f32[arms, seeds].
      test_accuracy: share of right test answers, 0 to 1, f32[arms, seeds].
    """

    loss: np.ndarray
    grad_norm: np.ndarray
    learning_rate: np.ndarray
    fires: np.ndarray
    val_loss: np.ndarray
    val_accuracy: np.ndarray
    train_loss: np.ndarray
    train_accuracy: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray

    @property
    def epochs(self) -> np.ndarray:
        """How long each arm was trained, i[arms]: all epochs, or fewer if it was retired."""
        return np.isfinite(self.val_accuracy).all(axis=1).sum(axis=-1)


def load(path: Path) -> History:
    """Reads a `history.npz`."""
    with np.load(path) as arrays:
        return History(**{f.name: arrays[f.name] for f in dataclasses.fields(History)})
