"""Optimizers by the names people know, each an Optax one whose rate may be loss-aware.

Every one takes the rate as a number, an Optax schedule or a loss-aware one. A number of the wrong
kind is a TypeError, one out of its range a ValueError.
"""

import optax

from lrdecay.arguments import Beta, NonNegative, Positive, checked
from lrdecay.loss_aware_schedule import LossAware
from lrdecay.schedules import RateOrSchedule
from lrdecay.transform import with_learning_rate

Rate = RateOrSchedule | LossAware


@checked
def sgd(schedule: Rate) -> optax.GradientTransformationExtraArgs:
    """Stochastic gradient descent without momentum.

    Args:
      schedule: the rate.
    """
    return with_learning_rate(optax.sgd, schedule)


@checked
def momentum(schedule: Rate, momentum: Beta = 0.9) -> optax.GradientTransformationExtraArgs:
    """SGD with heavy-ball momentum (Polyak 1964); the rate acts after the momentum.

    Args:
      schedule: the rate.
      momentum: share of the last step's velocity that is kept, in [0, 1), without dampening.
    """
    return with_learning_rate(optax.sgd, schedule, momentum=momentum)


@checked
def nesterov(schedule: Rate, momentum: Beta = 0.9) -> optax.GradientTransformationExtraArgs:
    """SGD with Nesterov's momentum (Sutskever et al. 2013).

    Args:
      schedule: the rate.
      momentum: share of the last step's velocity that is kept, in [0, 1), without dampening.
    """
    return with_learning_rate(optax.sgd, schedule, momentum=momentum, nesterov=True)


@checked
def adagrad(
    schedule: Rate, initial_accumulator_value: NonNegative = 0.1, eps: Positive = 1e-7
) -> optax.GradientTransformationExtraArgs:
    """AdaGrad (Duchi, Hazan & Singer 2011).

    Args:
      schedule: the rate.
      initial_accumulator_value: what the sums of squared gradients start from, at least 0.
      eps: added to the sum inside of the square root, above 0. PyTorch adds its own outside.
    """
    return with_learning_rate(
        optax.adagrad, schedule, initial_accumulator_value=initial_accumulator_value, eps=eps
    )


@checked
def rmsprop(
    schedule: Rate, decay: Beta = 0.9, eps: Positive = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """RMSprop (Tieleman & Hinton 2012).

    Args:
      schedule: the rate.
      decay: decay of the mean squared gradient, in [0, 1); PyTorch's `alpha`.
      eps: added to the mean inside of the square root, above 0. PyTorch adds its own outside.
    """
    return with_learning_rate(optax.rmsprop, schedule, decay=decay, eps=eps)


@checked
def adam(
    schedule: Rate, b1: Beta = 0.9, b2: Beta = 0.999, eps: Positive = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """Adam (Kingma & Ba 2015).

    Args:
      schedule: the rate.
      b1: decay of the mean gradient, in [0, 1).
      b2: decay of the mean squared gradient, in [0, 1).
      eps: added to the root of that mean, above 0.
    """
    return with_learning_rate(optax.adam, schedule, b1=b1, b2=b2, eps=eps)


@checked
def adamw(
    schedule: Rate,
    b1: Beta = 0.9,
    b2: Beta = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 1e-4,
) -> optax.GradientTransformationExtraArgs:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), which follows the rate.

    Args:
      schedule: the rate.
      b1: decay of the mean gradient, in [0, 1).
      b2: decay of the mean squared gradient, in [0, 1).
      eps: added to the root of that mean, above 0.
      weight_decay: times the rate, the share of a weight that each step takes away, at least 0.
    """
    return with_learning_rate(
        optax.adamw, schedule, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay
    )
