"""What the page is told, as JSON: a network's layers and maps, and explanations."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop import ops
from convprop.equations import EQUATIONS
from convprop.errors import invalid
from convprop.explain import Explanation
from convprop.explain.fields import projective_field, receptive_field
from convprop.explain.mathml import mathml
from convprop.explain.place import check_index
from convprop.explain.pool import POOLINGS
from convprop.explain.rendering import exact, mathml_lines
from convprop.explorer.session import MOST_STEPS, Session
from convprop.machine.native import engine
from convprop.network import Network
from convprop.optimizers import OPTIMIZERS
from convprop.shown import class_shown, printable

Array = NDArray[Any]
Answer = dict[str, Any]

GALLERY = 40
"""Images that are shown at a time to choose from."""
GALLERY_SIDE = 32
"""Their rows and columns, at the most."""


def network(session: Session) -> Answer:
    """Describe the layers, the classes, and what can be asked."""
    net = session.net
    return {
        "input": list(net.input_shape),
        "layers": [
            {
                "name": node.name,
                "kind": node.layer.family,
                "words": repr(node.layer),
                # Values: 0 is the image, n + 1 what layer n gives.
                "reads": list(node.reads),
                "shape": list(node.output),
                "settings": node.native,
                "window": None if node.window is None else asdict(node.window),
                "parameters": {part: list(of.shape) for part, of in node.parameters.items()},
            }
            for node in net.graph.nodes
        ],
        "classes": class_names(session),
        "images": len(session.data),
        # A file's name may be bytes that are no UTF-8, which no answer can hold.
        "data": printable(session.data.name),
        "loss": repr(net.loss),
        "loss_kind": net.loss.kind,
        "smoothing": net.loss.label_smoothing,
        "normalisation": _normalisation(net),
        "optimizers": list(OPTIMIZERS),
        "optimizer": session.optimizer.kind,
        "learning_rate": session.optimizer.learning_rate,
        "most_steps": MOST_STEPS,
        "dtype": net.dtype.name,
    }


def _normalisation(net: Network) -> list[list[str]] | None:
    """Return what is taken off each channel, and what it is then multiplied by."""
    if net.normalisation is None:
        return None
    return [[exact(value) for value in values] for values in net.normalisation]


def class_names(session: Session) -> list[str]:
    """Return the names of the classes, their numbers where they have none."""
    names = session.net.class_names or session.data.class_names
    return [class_shown(name) for name in names[: max(session.net.outputs, 2)]]


def packed(array: Array) -> Answer:
    """Return an array as its shape and its little-endian bytes in base64."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "data": base64.b64encode(array.tobytes()).decode("ascii"),
    }


def maps(session: Session) -> Answer:
    """Return all maps and deltas of the image's pass, and kernels with their gradients."""
    done = session.explainer.done
    net = session.net
    # Whatever comes first can read the image alone.
    seen = done.layers[0].input[0]
    return {
        "label": session.label,
        "step": session.step,
        "fresh": session.fresh and session.step == 0,
        "loss": exact(np.float64(done.loss)),
        "pixels": packed(session.image[0]),
        # By value, as "reads" numbers them.
        "outputs": [packed(seen), *(packed(at.output[0]) for at in done.layers)],
        "deltas": [packed(done.input_delta[0]), *(packed(at.delta[0]) for at in done.layers)],
        "sent": _sent(session),
        "parameters": _kernels(net.parameters),
        "gradients": _kernels(done.gradients),
        "prediction": [exact(value) for value in prediction(net, done.layers[-1].output)],
        "predicted": int(net.classes_of(done.layers[-1].output.reshape(1, -1))[0]),
        "index": session.index,
        "relabelled": session.relabelled,
        "moments": [[moment.step, exact(np.float64(moment.loss))] for moment in session.moments],
    }


def _sent(session: Session) -> Answer:
    """Return what each reader sends to a value that several layers read, by the value's number."""
    graph = session.net.graph
    shared = [v for v in range(len(graph.nodes)) if len(graph.readers(v)) > 1]
    return {
        str(value): [
            {"reader": reader, "delta": packed(delta[0])}
            for reader, delta in session.explainer.sent(value).items()
        ]
        for value in shared
    }


def _kernels(named: Mapping[str, Array]) -> Answer:
    """Return the arrays that are drawn: those of dense layers would be nearly all of the answer."""
    return {name: packed(array) for name, array in named.items() if array.ndim == 4}


def prediction(net: Network, outputs: Array) -> list[Any]:
    """Return what the loss makes of one image's outputs."""
    return list(net.loss.prediction(outputs.reshape(1, -1))[0])


def explanation(found: Explanation) -> Answer:
    """Return everything that an explanation holds, numbers with all their digits as text."""
    names = list(found.terms.dtype.names or ())
    return {
        # The page shows one image at a time.
        "name": found.name.replace(", image 0", "").replace("E of image 0", "E"),
        "source": found.source,
        "equation": mathml_lines(found, 2),
        "factors": list(found.factors),
        "columns": {name: [exact(value) for value in found.terms[name]] for name in names},
        "whole": [name for name in names if found.terms.dtype[name].kind != "f"],
        "running": [exact(value) for value in found.running],
        "start": [found.start[0], exact(found.start[1])],
        "steps": [[step.words, exact(step.value)] for step in found.steps],
        "total": exact(found.total),
        "value": exact(found.value),
        "exact": found.exact,
        "remark": found.remark,
    }


def routing(session: Session, layer: object, channel: object) -> Answer:
    """Return what each kind of pooling would make of a pool's input, and how it routes.

    The windows are the pool's own, and so are the deltas that come back to it.
    """
    nodes = session.net.graph.nodes
    pools = {node.name: at for at, node in enumerate(nodes) if node.layer.family == "pool"}
    if not isinstance(layer, str) or layer not in pools:
        raise invalid("layer", f"be one of {', '.join(pools) or 'no pools'}", repr(layer))
    place = pools[layer]
    settings = nodes[place].native
    c = check_index("channel", channel, nodes[place].inputs[0][0])
    went = session.explainer.done.layers[place]
    o, delta = went.input[:, c : c + 1], went.delta[:, c : c + 1]
    kinds = {}
    for kind in engine.poolings:
        options = ops.pool.options_of(settings)
        if kind != settings["pool"]:
            options["count_padding"] = True
        x, winner = ops.pool.forward(o, kind, **options)
        kinds[kind] = {
            "routing": POOLINGS[kind].routing,
            "output": packed(x[0]),
            "delta": packed(ops.pool.input_delta(delta, o, kind, **options)[0]),
            "winner": None if winner is None else winner.reshape(-1).tolist(),
        }
    return {
        "input": packed(o[0]),
        "delta": packed(delta[0]),
        "kind": settings["pool"],
        "kinds": kinds,
    }


def fields(session: Session, map_: object, pixel: list[Any]) -> Answer:
    """Return which pixels of every map depend on a pixel, or that it depends on.

    Of the values up to the pixel's own those pixels that it is made of, of later ones those that it
    goes into, as rows and columns: none where no way leads to it. Map 0 is the image, n + 1 what
    layer n gives.
    """
    net = session.net
    own = check_index("map", map_, len(net.layers) + 1)
    of: list[str | int] = ["input", *range(len(net.layers))]
    regions = [receptive_field(net, of[own], *pixel, of=other) for other in of[: own + 1]]
    regions += [projective_field(net, of[own], *pixel, on=other) for other in of[own + 1 :]]
    return {
        "regions": [
            {"rows": region.rows.tolist(), "columns": region.columns.tolist()} for region in regions
        ]
    }


def gallery(session: Session, first: object, label: object) -> Answer:
    """Return small pictures of the data's images from the first on, of a label or of all."""
    data = session.data
    rows = np.arange(len(data))
    if label is not None:
        rows = rows[data.labels == check_index("label", label, max(session.net.outputs, 2))]
    start = check_index("first", first, max(len(rows), 1))
    shown = rows[start : start + GALLERY]
    # Every other pixel, or every third: enough to recognise an image.
    step = -(-max(data.images.shape[2:]) // GALLERY_SIDE)
    return {
        "rows": shown.tolist(),
        "labels": data.labels[shown].tolist(),
        "images": packed(data.images[shown][:, :, ::step, ::step]),
        "count": len(rows),
    }


def equations() -> Answer:
    """Return the article's equations in MathML, and a sentence about each."""
    return {
        str(number): {"equation": mathml(one.latex, "block"), "sentence": one.sentence}
        for number, one in EQUATIONS.items()
    }
