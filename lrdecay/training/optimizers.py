"""Optimizers by the names people know, each an Optax one whose rate may be loss-aware."""

import optax

from lrdecay.arguments import Beta, NonNegative, Positive, checked
from lrdecay.loss_aware_schedule import LossAware
from lrdecay.schedules import RateOrSchedule
from lrdecay.transform import with_learning_rate

Rate = RateOrSchedule | LossAware


def sgd(schedule: Rate) -> optax.GradientTransformationExtraArgs:
    """Stochastic gradient descent without momentum."""
    return with_learning_rate(optax.sgd, schedule)


@checked
def momentum(schedule: Rate, momentum: Beta = 0.9) -> optax.GradientTransformationExtraArgs:
    """SGD with heavy-ball momentum (Polyak 1964); the rate acts after the momentum."""
    return with_learning_rate(optax.sgd, schedule, momentum=momentum)


@checked
def nesterov(schedule: Rate, momentum: Beta = 0.9) -> optax.GradientTransformationExtraArgs:
    """SGD with Nesterov's momentum (Sutskever et al. 2013)."""
    return with_learning_rate(optax.sgd, schedule, momentum=momentum, nesterov=True)


@checked
def adagrad(
    schedule: Rate, initial_accumulator_value: NonNegative = 0.1, eps: Positive = 1e-7
) -> optax.GradientTransformationExtraArgs:
    """AdaGrad (Duchi, Hazan & Singer 2011)."""
    return with_learning_rate(
        optax.adagrad, schedule, initial_accumulator_value=initial_accumulator_value, eps=eps
    )


@checked
def rmsprop(
    schedule: Rate, decay: Beta = 0.9, eps: Positive = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """RMSprop (Tieleman & Hinton 2012)."""
    return with_learning_rate(optax.rmsprop, schedule, decay=decay, eps=eps)


@checked
def adam(
    schedule: Rate, b1: Beta = 0.9, b2: Beta = 0.999, eps: Positive = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """Adam (Kingma & Ba 2015)."""
    return with_learning_rate(optax.adam, schedule, b1=b1, b2=b2, eps=eps)


@checked
def adamw(
    schedule: Rate,
    b1: Beta = 0.9,
    b2: Beta = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 1e-4,
) -> optax.GradientTransformationExtraArgs:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), which follows the rate."""
    return with_learning_rate(
        optax.adamw, schedule, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay
    )
