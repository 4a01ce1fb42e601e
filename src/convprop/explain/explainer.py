"""One pass of some images through a network, and all that can be asked about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convprop.arguments import checks_names
from convprop.errors import invalid
from convprop.explain import (
    batch_norm,
    conv,
    dense,
    image_norm,
    joins,
    local_response_norm,
    pointwise,
    pool,
    prelu,
    softmax,
)
from convprop.explain.explanation import Explanation
from convprop.explain.loss import loss as explained_loss
from convprop.explain.place import (
    Place,
    check_index,
    check_indices,
    check_network,
    index_text,
    layer_index,
)
from convprop.explain.sent import sent
from convprop.network import Network
from convprop.ops.loss import as_weights

# What is infinite, or no number, shows it by itself.
quiet = np.errstate(all="ignore")


class Explainer:
    """Carries images through a network, forward and back, and explains the numbers on the way.

    A BatchNorm goes by its running statistics, so that outputs are those of predictions.

    Parameters
    ----------
    net : Network
        Its weights are copied: later changes of them are not seen.
    images : array_like
        As for ``Network.forward``: one batch, whose loss the deltas and gradients are of.
    targets : array_like, optional
        As for ``Network.evaluate``. Without them only outputs can be explained.
    sample_weight : array_like, optional
        As for ``Network.evaluate``; with targets only.

    Attributes
    ----------
    done : Backpropagation
        All the numbers.
    """

    def __init__(
        self,
        net: Network,
        images: ArrayLike,
        targets: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> None:
        check_network(net)
        checked = net.as_images(images)
        self.net = net
        self._has_targets = targets is not None
        if targets is None and sample_weight is not None:
            raise invalid("sample_weight", "be None without targets, whose loss it weighs", "some")
        wanted = _any_targets(net, len(checked)) if targets is None else targets
        self._targets = net.as_targets(wanted, len(checked))
        self._weights = as_weights(sample_weight, len(checked))
        self.done = net.backpropagate(checked, wanted, self._weights, "running")
        self._parameters = {name: array.copy() for name, array in net.parameters.items()}

    @checks_names
    @quiet
    def output(
        self,
        layer: str | int,
        k: int,
        i: int | None = None,
        j: int | None = None,
        *,
        image: int = 0,
    ) -> Explanation:
        """Explain a value of a layer's output.

        Of a Conv the products w o of Eq. 7, with the input's pixel as "row" and "column" (which
        lie outside of the map in the padding); of a Dense alike, by feature "f"; of a pool the
        units of the window, and which "wins"; of an activation the value that f is taken of; of a
        normalisation w x^, beside what x^ comes from; of a LocalResponseNorm the squares.
        Softmax the exponentials of its pixel.

        Parameters
        ----------
        layer : str or int
            A layer's name, or its place from 0.
        k, i, j : int
            The output's channel, row and column; of a row of values k alone.
        image : int
            Which image of the batch.

        Raises
        ------
        InvalidInput
            No such layer, image or output.
        """
        place = self._place(layer)
        image = self._image(image)
        found: Explanation = _module(place).output(place, image, k, i, j)
        return found

    @checks_names
    @quiet
    def weight_gradient(
        self,
        layer: str | int,
        k: int,
        c: int | None = None,
        m: int | None = None,
        n: int | None = None,
    ) -> Explanation:
        """Explain dE/dw of one weight.

        Of a Conv the products delta o of Eq. 13, by image and output pixel, with the input's
        pixel as "row" and "column"; of a Dense by image; of a normalisation the products delta x^.
        Each image of a Conv is a part of its own, of a normalisation each row; these are then added
        as DESIGN.md says.

        Parameters
        ----------
        layer : str or int
        k, c, m, n : int
            The weight's indices in ``net.parameters``: where a Conv has groups, c counts within
            the group. Of a Dense k and c, the feature; of a normalisation k alone.
        """
        self._require_targets()
        place = self._of_parameter(layer, "weight")
        found: Explanation = _module(place).weight_gradient(place, k, c, m, n)
        return found

    @checks_names
    @quiet
    def bias_gradient(self, layer: str | int, k: int) -> Explanation:
        """Explain dE/db of one bias: the deltas that it collects."""
        self._require_targets()
        place = self._of_parameter(layer, "bias")
        found: Explanation = _module(place).bias_gradient(place, k)
        return found

    @checks_names
    @quiet
    def slope_gradient(self, layer: str | int, k: int = 0) -> Explanation:
        """Explain dE/da of one slope of a PReLU: the deltas times the values below 0.

        Parameters
        ----------
        layer : str or int
        k : int
            The slope's channel; of one that is for all, 0.
        """
        self._require_targets()
        return prelu.weight_gradient(self._of_parameter(layer, "slope"), k)

    @checks_names
    @quiet
    def delta(
        self,
        layer: str | int,
        c: int,
        i: int | None = None,
        j: int | None = None,
        *,
        image: int = 0,
        of: str | int = 0,
    ) -> Explanation:
        """Explain the delta of one value of a layer's input, which comes back through that layer.

        Of a Conv the products delta w over the region Q of Eq. 16-20; of a Dense over its
        outputs; of a pool what every window over the unit passes on to it, "share" being 1 for
        the winner of a max pool, 1 / n of an average and o / x of an L2 one; of a normalisation the
        value's own part, and those of the mean and of the variance.

        Of a value that other layers read, too, it is what this layer sends: `received` adds up
        what all of them do.

        Where the layer just before a Conv, a Dense or a pool is an activation, and nobody else
        reads what that reads, the last step is its factor f'(x), and the number is the article's
        delta of the layer before that. Flatten, Dropout, StochasticDepth, ChannelShuffle and
        Identity are layers of their own: with one of them in between, the activation's factor is
        not in this number, but in the delta of the activation's input.

        Parameters
        ----------
        layer : str or int
            The layer that the input goes into.
        c, i, j : int
            The input's channel, row and column; of a row of values c alone.
        image : int
            Which image of the batch.
        of : str or int
            Of an Add, a Multiply or a Concat: which of its inputs, by the name of the layer that
            gives it, or by its place among them from 0.
        """
        self._require_targets()
        place = self._place(layer)
        place = replace(place, read=joins.read_of(place, of))
        image = self._image(image)
        found: Explanation = _module(place).delta(place, image, c, i, j)
        return found

    @checks_names
    @quiet
    def received(
        self,
        layer: str | int,
        c: int,
        i: int | None = None,
        j: int | None = None,
        *,
        image: int = 0,
    ) -> Explanation:
        """Explain the delta of one value of an output by what each layer that reads it sends.

        Parameters
        ----------
        layer : str or int
            A layer's name, or its place from 0; "input": the image.
        c, i, j : int
            The output's channel, row and column; of a row of values c alone.
        image : int
            Which image of the batch.
        """
        self._require_targets()
        net, image = self.net, self._image(image)
        value = 0 if isinstance(layer, str) and layer == "input" else layer_index(net, layer) + 1
        deltas = self.done.layers[value - 1].delta if value else self.done.input_delta
        found = check_indices("cij", (c, i, j), deltas.shape[1:])
        places = self._readers(value)
        if not places:
            raise invalid("layer", "be read by a layer; the loss has the last one's", repr(layer))
        sent = {name: _module(place).delta(place, image, c, i, j) for name, place in places.items()}
        name = f"delta[{index_text('cij', found)}] of {net.graph.value_name(value)}, image {image}"
        return joins.received(sent, name, deltas[(image, *found)], found)

    @checks_names
    @quiet
    def loss(self, *, image: int = 0) -> Explanation:
        """Explain an image's loss: each output's target, what it adds to E, and its delta."""
        self._require_targets()
        return explained_loss(self.net, self.done, self._image(image), self._targets, self._weights)

    @checks_names
    @quiet
    def sent(self, value: int) -> dict[str, NDArray[Any]]:
        """Return what each layer that reads a value sends back to it, the last reader first.

        Parameters
        ----------
        value : int
            0 is the image, n + 1 what layer n gives.

        Returns
        -------
        dict of ndarray
            By the layers' names, in the value's shape; added up in their order they are its delta.
        """
        self._require_targets()
        found = check_index("value", value, len(self.net.layers) + 1)
        return {name: sent(place) for name, place in self._readers(found).items()}

    def _readers(self, value: int) -> dict[str, Place]:
        """Return the places of all that read a value, the last one first, by their names."""
        found = {}
        for reader in dict.fromkeys(reversed(self.net.graph.readers(value))):
            node = self.net.graph.nodes[reader]
            slots = [read for read, other in enumerate(node.reads) if other == value]
            for read in reversed(slots):
                name = node.name if len(slots) == 1 else f"{node.name} ({read})"
                found[name] = Place(
                    self.net, reader, self.done, self._parameters, read, wants_factor=False
                )
        return found

    def _place(self, layer: object) -> Place:
        return Place(self.net, layer_index(self.net, layer), self.done, self._parameters)

    def _image(self, image: object) -> int:
        return check_index("image", image, len(self._targets))

    def _require_targets(self) -> None:
        if not self._has_targets:
            raise invalid("targets", "be given where gradients are explained", "None")

    def _of_parameter(self, layer: object, part: str) -> Place:
        """Return the place of a layer that has a parameter."""
        place = self._place(layer)
        if not place.has(part):
            owners = [node.name for node in self.net.graph.nodes if part in node.parameters]
            raise invalid("layer", f"have a {part}: {', '.join(owners)}", repr(place.name))
        if not place.node.parameters[part].trained:
            rule = f"have a {part} that is trained, and so has gradients"
            raise invalid("layer", rule, repr(place.name))
        return place


def _module(place: Place) -> Any:
    """Return what explains a layer: the module of its family."""
    family = place.node.layer.family
    if family not in _FAMILIES:
        raise invalid("layer", f"be of a family that is explained: {', '.join(_FAMILIES)}", family)
    return _FAMILIES[family]


_FAMILIES = {
    "activation": pointwise,
    "prelu": prelu,
    "softmax": softmax,
    "flatten": pointwise,
    "dropout": pointwise,
    "stochastic_depth": pointwise,
    "channel_shuffle": pointwise,
    "conv": conv,
    "pool": pool,
    "dense": dense,
    "add": joins,
    "multiply": joins,
    "concat": joins,
    "batch_norm": batch_norm,
    "group_norm": image_norm,
    "layer_norm": image_norm,
    "local_response_norm": local_response_norm,
}


def _any_targets(net: Network, count: int) -> NDArray[Any]:
    """Return targets for a pass of whose deltas nothing is asked."""
    if net.target_scaling is None:
        return np.zeros(count, np.int32)
    return np.tile(net.target_scaling[0], (count, 1))
