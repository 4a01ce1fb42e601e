"""The products of a convolution: outputs, weight and bias gradients, input deltas.

An output of Eq. 7 starts from its bias and runs over c, m, n; a gradient (Eq. 13) over an
image's output pixels, and then the images' sums are added up; a delta (Eq. 17-20) over k, m, n,
which counts the region Q of the outputs that saw the input pixel. m and n are taken in the order
of the window, in which a flipped kernel's own indices run down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.explain import sums
from convprop.explain.explanation import Explanation, Part, Step
from convprop.explain.factor import with_factor
from convprop.explain.place import Place, check_indices, index_text, subscript, zero_like
from convprop.explain.tables import table

Array = NDArray[Any]

WINOGRAD = (
    "The engine computes this layer by Winograd's algorithm, whose sums are of other products: "
    "they agree with these up to rounding, now and then to the last bit."
)


def output(place: Place, image: int, k: object, i: object, j: object) -> Explanation:
    """Explain the output pixel (i, j) of kernel k: Eq. 7."""
    at = place.native()
    found = check_indices("kij", (k, i, j), place.x.shape[1:])
    kernel, row, column = found
    weight = place.parameter("weight")
    each = weight.shape[1]
    c, p, q = np.indices(weight.shape[1:]).reshape(3, -1)
    m, n = _stored(at, p, q)
    rows, columns = place.window.seen(0, row, p), place.window.seen(1, column, q)
    channels = kernel // (at["kernels"] // at["groups"]) * each + c
    terms = table(
        {
            "w": weight[kernel, c, m, n],
            "o": _pixels(place.o[image], at["padding_value"], channels, rows, columns),
        },
        {"c": channels, "m": m, "n": n, "row": rows, "column": columns},
    )
    start = place.parameter("bias")[kernel] if place.has("bias") else zero_like(weight)
    running = sums.chain(terms["w"], terms["o"], start)
    return Explanation(
        name=f"x[{index_text('kij', found)}] of {place.name}, image {image}",
        source="Eq. 7" if not at["flip_kernel"] else "Eq. 6",
        symbol=rf"x^{{{place.latex_name}}}_{subscript(found)}",
        formula=_output_formula(place, at),
        terms=terms,
        factors=("w", "o"),
        start=("b", start) if place.has("bias") else ("", start),
        parts=(Part("", 0, len(terms), running),),
        steps=(),
        total=running[-1] + 0,
        value=place.x[(image, *found)],
        remark=_winograd(at),
    )


def weight_gradient(place: Place, k: object, c: object, m: object, n: object) -> Explanation:
    """Explain dE/dw at [k, c, m, n]: Eq. 13."""
    at = place.native()
    found = check_indices("kcmn", (k, c, m, n), place.parameter("weight").shape)
    kernel, own_channel, *_ = found
    each = place.parameter("weight").shape[1]
    channel = kernel // (at["kernels"] // at["groups"]) * each + own_channel
    p, q = _stored(at, found[2], found[3])
    images, i, j = np.indices((len(place.x), *place.x.shape[2:])).reshape(3, -1)
    rows, columns = place.window.seen(0, i, p), place.window.seen(1, j, q)
    value = at["padding_value"]
    terms = table(
        {
            "delta": place.delta[:, kernel].reshape(-1),
            "o": _pixels(place.o, value, images, np.full_like(rows, channel), rows, columns),
        },
        {"image": images, "i": i, "j": j, "row": rows, "column": columns},
    )
    return _gradient(
        place,
        terms,
        name=f"dE/dw[{index_text('kcmn', found)}] of {place.name}",
        source="Eq. 13",
        symbol=rf"\frac{{\partial E}}{{\partial w^{{{place.latex_name}}}_{subscript(found)}}}",
        formula=rf"\sum_{{\text{{image}}}} \sum_{{i}} \sum_{{j}} \delta_{{{kernel},i,j}} \, "
        rf"o_{{{channel},{_reach(place, 'i', p, 0)},{_reach(place, 'j', q, 1)}}}",
        factors=("delta", "o"),
        value=place.gradient("weight")[found],
        remark=_winograd(at),
    )


def bias_gradient(place: Place, k: object) -> Explanation:
    """Explain dE/db at [k]: the sum of the deltas of kernel k, b's part in Eq. 7 being 1."""
    found = check_indices("k", (k,), place.parameter("bias").shape)
    images, i, j = np.indices((len(place.x), *place.x.shape[2:])).reshape(3, -1)
    terms = table(
        {"delta": place.delta[:, found[0]].reshape(-1)}, {"image": images, "i": i, "j": j}
    )
    return _gradient(
        place,
        terms,
        name=f"dE/db[k={found[0]}] of {place.name}",
        source="Eq. 10, with the bias in the weight's place",
        symbol=rf"\frac{{\partial E}}{{\partial b^{{{place.latex_name}}}_{{{found[0]}}}}}",
        formula=rf"\sum_{{\text{{image}}}} \sum_{{i}} \sum_{{j}} \delta_{{{found[0]},i,j}}",
        factors=("delta",),
        value=place.gradient("bias")[found],
        remark="",
    )


def delta(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain the delta of the input pixel (i, j) of channel c: Eq. 16-20."""
    at = place.native()
    found = check_indices("cij", (c, i, j), place.o.shape[1:])
    channel, row, column = found
    weight = place.parameter("weight")
    kernels = at["kernels"] // at["groups"]
    group, own_channel = divmod(channel, weight.shape[1])
    k, p, q = np.indices((kernels, *weight.shape[2:])).reshape(3, -1)
    k += group * kernels
    (rows, sees), (columns, also) = (
        place.window.seeing(axis, position, taps, place.x.shape[2 + axis])
        for axis, (position, taps) in enumerate(((row, p), (column, q)))
    )
    looks = sees & also
    k, p, q, rows, columns = (values[looks] for values in (k, p, q, rows, columns))
    m, n = _stored(at, p, q)
    terms = table(
        {
            "delta": place.delta[image, k, rows, columns],
            "w": weight[k, own_channel, m, n],
        },
        {"k": k, "m": m, "n": n, "i": rows, "j": columns},
    )
    running = sums.chain(terms["delta"], terms["w"])
    return with_factor(
        place,
        image,
        found,
        names="cij",
        source=("Eq. 16", "Eq. 20"),
        formula=r"\sum_{k} \sum_{(i,j) \in Q} \delta_{k,i,j} \, w_{k,c,m,n}",
        terms=terms,
        factors=("delta", "w"),
        parts=(Part("", 0, len(terms), running),),
        total=running[-1] + 0 if len(terms) else zero_like(weight),
        remark=_winograd(at),
    )


def _gradient(place: Place, terms: Array, **described: Any) -> Explanation:
    """Add up each image's terms, and then the images: by lanes, blocks and groups."""
    count, size = len(place.x), len(terms) // len(place.x)
    factors = [terms[name].reshape(count, size) for name in described["factors"]]
    if len(factors) == 1:
        factors.append(np.ones_like(factors[0]))
    zero = zero_like(factors[0])
    running = sums.running_sums(np.full(count, zero), *factors)
    blocks, groups, total = sums.over_images(running[:, -1])
    steps = []
    if count > 1:
        steps.append(Step("the images of each block of 16, added by halves", "%", blocks[0]))
    if len(blocks) > 1:
        steps.append(Step(f"{len(blocks)} blocks, in {len(groups)} groups, by a tree", "%", total))
    return Explanation(
        terms=terms,
        start=("", zero),
        parts=tuple(Part(f"image {n}", n * size, (n + 1) * size, running[n]) for n in range(count)),
        steps=tuple(steps),
        total=total + 0,
        **described,
    )


def _stored(at: dict[str, Any], p: Any, q: Any) -> tuple[Any, Any]:
    """Return where in the kernel the window's position (p, q) is stored, and the reverse."""
    if not at["flip_kernel"]:
        return p, q
    return at["kernel_size"][0] - 1 - p, at["kernel_size"][1] - 1 - q


def _pixels(o: Array, padding_value: float, *indices: Array) -> Array:
    """Return o at the indices, and the padding's value outside of the map."""
    rows, columns = indices[-2:]
    height, width = o.shape[-2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    clipped = (*indices[:-2], np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1))
    pixels: Array = np.where(inside, o[clipped], o.dtype.type(padding_value))
    return pixels


def _output_formula(place: Place, at: dict[str, Any]) -> str:
    row, column = _reach(place, "i", "m", 0), _reach(place, "j", "n", 1)
    weight = "w_{k,c,-m,-n}" if at["flip_kernel"] else "w_{k,c,m,n}"
    bias = "b_k + " if place.has("bias") else ""
    return rf"{bias}\sum_{{c}} \sum_{{m}} \sum_{{n}} {weight} \, o_{{c,\,{row},\,{column}}}"


def _reach(place: Place, output: str, tap: int | str, axis: int) -> str:
    """Return "2i+m-1": the input's index as LaTeX."""
    window = place.window
    stride, dilation = window.stride[axis], window.dilation[axis]
    text = output if stride == 1 else f"{stride}{output}"
    offset = -window.before(axis)
    if isinstance(tap, str):
        text += f"+{tap}" if dilation == 1 else f"+{dilation}{tap}"
    else:
        offset += dilation * tap
    return text + (f"{offset:+d}" if offset else "")


def _winograd(at: dict[str, Any]) -> str:
    return WINOGRAD if at["algorithm"] == "winograd" else ""
