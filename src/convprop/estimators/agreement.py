"""Parameters that contradict one another, or that a fit would pass over in silence."""

from __future__ import annotations

from inspect import signature
from numbers import Integral
from typing import TYPE_CHECKING, Any

from convprop.errors import invalid
from convprop.estimators.images import full_shape
from convprop.estimators.settings import Settings
from convprop.optimizers import Optimizer
from convprop.schedules import Constant

if TYPE_CHECKING:
    from convprop.estimators.base import ConvNet

# scikit-learn's own checks set n_iter_no_change wherever there is one.
OF_EARLY_STOPPING = ("validation_fraction", "tol")


def check_agreement(estimator: ConvNet, partly: bool) -> None:
    """Raise InvalidInput that names both of two parameters which do not go together.

    Parameters
    ----------
    estimator : estimator
    partly : bool
        Whether it is ``partial_fit`` that is called.
    """
    if not estimator.early_stopping:
        for name in OF_EARLY_STOPPING:
            default = signature(Settings).parameters[name].default
            if (given := getattr(estimator, name)) != default:
                rule = f"be left at {default!r} unless early_stopping is True"
                raise invalid(name, rule, repr(given))
    _check_optimizer(estimator)
    if partly:
        _check_one_epoch(estimator)
    if estimator._going_on(partly):
        _check_unchanged(estimator, "partial_fit" if partly else "warm_start=True")


def _check_optimizer(estimator: ConvNet) -> None:
    """What an optimizer says of itself is not to be said otherwise beside it."""
    optimizer = estimator.optimizer
    if not isinstance(optimizer, Optimizer):
        return
    for name, field in (("learning_rate_init", "learning_rate"), ("alpha", "weight_decay")):
        given, own = getattr(estimator, name), getattr(optimizer, field)
        if given is not None and own != getattr(type(optimizer), field):
            rule = f"be None where the optimizer has a {field} of its own, {optimizer!r}"
            raise invalid(name, rule, repr(given))


def _check_one_epoch(estimator: ConvNet) -> None:
    if estimator.early_stopping:
        raise invalid("early_stopping", "be False for partial_fit, which is one epoch", "True")
    if estimator.schedule not in (None, Constant()):
        rule = "be None or Constant() for partial_fit, whose learning rate is constant"
        raise invalid("schedule", rule, repr(estimator.schedule))


def _check_unchanged(estimator: ConvNet, why: str) -> None:
    """What a network is made of stays with it; a change would have no effect."""
    net, network, made_of = estimator.network_, snapshot(estimator.network), estimator._made_of
    cure = f"where {why} goes on with the network there is"
    if network is not made_of and network != made_of:
        rule = f"stay {_shown(made_of)} {cure}"
        raise invalid("network", rule, _shown(network))
    if (full_shape(estimator, net.input_shape[0]) or net.input_shape) != net.input_shape:
        rule = f"stay {net.input_shape} (C, H, W) {cure}"
        raise invalid("input_shape", rule, repr(estimator.input_shape))
    if (loss := estimator._loss()) != net.loss:
        rule = f"stay {net.loss.label_smoothing} {cure}"
        raise invalid("label_smoothing", rule, loss.label_smoothing)
    seed = estimator.random_state
    if isinstance(seed, Integral) and seed != net.seed:
        raise invalid("random_state", f"stay {net.seed} {cure}", repr(seed))


def snapshot(network: Any) -> Any:
    """Return the parameter ``network`` as it is now: a list may be changed in place."""
    return tuple(network) if isinstance(network, list) else network


def _shown(network: Any) -> str:
    return repr(list(network) if isinstance(network, tuple) else network)
