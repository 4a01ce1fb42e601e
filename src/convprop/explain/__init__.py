"""The exact terms of any output, gradient or delta of a network.

``output``, ``weight_gradient``, ``bias_gradient``, ``slope_gradient``, ``delta`` and ``loss`` take
one number apart into the products it sums; added up in the order of DESIGN.md they are the engine's
number bit for bit. ``receptive_field`` and ``projective_field`` say which pixels depend on which.
Each call carries the images through the network; to ask more than once, make an ``Explainer``.

>>> import convprop as cp
>>> from convprop.data import load
>>> digits = load("digits")
>>> net = cp.preset("digits", (1, 8, 8), 10)
>>> found = cp.explain.output(net, digits.test.images[:1], "conv1", k=2, i=3, j=4)
>>> found.exact
True
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from convprop.arguments import checks_names
from convprop.explain.explainer import Explainer
from convprop.explain.explanation import Explanation, Part, Step
from convprop.explain.fields import Region, projective_field, receptive_field
from convprop.network import Network

__all__ = [
    "Explainer",
    "Explanation",
    "Part",
    "Region",
    "Step",
    "bias_gradient",
    "delta",
    "loss",
    "output",
    "projective_field",
    "receptive_field",
    "slope_gradient",
    "weight_gradient",
]


@checks_names
def output(
    net: Network,
    images: ArrayLike,
    layer: str | int,
    k: int,
    i: int | None = None,
    j: int | None = None,
    *,
    image: int = 0,
) -> Explanation:
    """Explain a layer's output; see ``Explainer.output``."""
    return Explainer(net, images).output(layer, k, i, j, image=image)


@checks_names
def weight_gradient(
    net: Network,
    images: ArrayLike,
    targets: ArrayLike,
    layer: str | int,
    k: int,
    c: int | None = None,
    m: int | None = None,
    n: int | None = None,
    *,
    sample_weight: ArrayLike | None = None,
) -> Explanation:
    """Explain a weight's gradient; see ``Explainer.weight_gradient``."""
    return Explainer(net, images, targets, sample_weight).weight_gradient(layer, k, c, m, n)


@checks_names
def bias_gradient(
    net: Network,
    images: ArrayLike,
    targets: ArrayLike,
    layer: str | int,
    k: int,
    *,
    sample_weight: ArrayLike | None = None,
) -> Explanation:
    """Explain a bias's gradient; see ``Explainer.bias_gradient``."""
    return Explainer(net, images, targets, sample_weight).bias_gradient(layer, k)


@checks_names
def slope_gradient(
    net: Network,
    images: ArrayLike,
    targets: ArrayLike,
    layer: str | int,
    k: int = 0,
    *,
    sample_weight: ArrayLike | None = None,
) -> Explanation:
    """Explain the gradient of a PReLU's slope; see ``Explainer.slope_gradient``."""
    return Explainer(net, images, targets, sample_weight).slope_gradient(layer, k)


@checks_names
def delta(
    net: Network,
    images: ArrayLike,
    targets: ArrayLike,
    layer: str | int,
    c: int,
    i: int | None = None,
    j: int | None = None,
    *,
    image: int = 0,
    of: str | int = 0,
    sample_weight: ArrayLike | None = None,
) -> Explanation:
    """Explain the delta of a layer's input; see ``Explainer.delta``."""
    return Explainer(net, images, targets, sample_weight).delta(layer, c, i, j, image=image, of=of)


@checks_names
def loss(
    net: Network,
    images: ArrayLike,
    targets: ArrayLike,
    *,
    image: int = 0,
    sample_weight: ArrayLike | None = None,
) -> Explanation:
    """Explain an image's loss and the first delta; see ``Explainer.loss``."""
    return Explainer(net, images, targets, sample_weight).loss(image=image)
