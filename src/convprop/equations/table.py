"""The one table of the article's equations: number, function, LaTeX, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from convprop.equations import activations, backward, correlation, losses, pooling


class Equation(NamedTuple):
    """An equation: the function that computes it, its LaTeX, and a sentence about it."""

    function: Callable[..., Any]
    latex: str
    sentence: str


EQUATIONS: dict[int | str, Equation] = {
    1: Equation(
        correlation.cross_correlation,
        r"(I \otimes K)_{ij} = \sum_{m = 0}^{k_1 - 1} \sum_{n = 0}^{k_2 - 1} I(i+m, j+n)K(m,n)",
        "Cross-correlation: the kernel lies on the image as it is, and slides.",
    ),
    2: Equation(
        correlation.convolution,
        r"(I \ast K)_{ij} = \sum_{m = 0}^{k_1 - 1} \sum_{n = 0}^{k_2 - 1} I(i-m, j-n)K(m,n)",
        "Convolution: the kernel's indices run against the image's.",
    ),
    3: Equation(
        correlation.convolution_by_flipped_kernel,
        r"(I \ast K)_{ij} = \sum_{m = 0}^{k_1 - 1} \sum_{n = 0}^{k_2 - 1} I(i+m, j+n)K(-m,-n)",
        "Convolution is the cross-correlation with the kernel flipped in both directions: "
        "K(-m, -n) is the kernel, read backwards.",
    ),
    4: Equation(
        correlation.convolve_image,
        r"(I \ast K)_{ij} = \sum_{m = 0}^{k_1 - 1} \sum_{n = 0}^{k_2 - 1} \sum_{c = 1}^{C} "
        r"K_{m,n,c} \cdot I_{i+m, j+n, c} + b",
        "A filter sums over all channels of the image; each filter of a bank makes one map.",
    ),
    5: Equation(
        correlation.convolve_grey_image,
        r"(I \ast K)_{ij} = \sum_{m = 0}^{k_1 - 1} \sum_{n = 0}^{k_2 - 1} "
        r"K_{m,n} \cdot I_{i+m, j+n} + b",
        "The same for a grey image, which has one channel.",
    ),
    6: Equation(
        correlation.forward_as_convolution,
        r"x_{i,j}^l = \text{rot}_{180^\circ} \left\{ w_{m,n}^l \right\} \ast o_{i,j}^{l-1} "
        r"+ b_{i,j}^l",
        "A layer's forward pass is the convolution with the rotated kernel, plus the bias.",
    ),
    7: Equation(
        correlation.forward,
        r"x_{i,j}^l = \sum_{m} \sum_{n} w_{m,n}^l o_{i+m,j+n}^{l-1} + b_{i,j}^l",
        "Two flips undo each other: the forward pass is a cross-correlation, plus the bias.",
    ),
    8: Equation(
        activations.activation,
        r"o_{i,j}^l = f(x_{i,j}^l)",
        "The activation is applied to every element of the convolved input.",
    ),
    9: Equation(
        losses.squared_error,
        r"E = \frac{1}{2}\sum_{p} \left(t_p - y_p \right)^2",
        "Half the sum of the squared differences between targets and predictions.",
    ),
    10: Equation(
        backward.weight_gradient_by_chain_rule,
        r"\frac{\partial E}{\partial w_{m^{\prime},n^{\prime}}^l} = "
        r"\sum_{i=0}^{H-k_1} \sum_{j=0}^{W-k_2} \delta^{l}_{i,j} "
        r"\frac{\partial x_{i,j}^{l}}{\partial w_{m^{\prime},n^{\prime}}^l}",
        "A weight reaches the error through every output, so the chain rule sums over them all.",
    ),
    11: Equation(
        backward.weight_derivative_expanded,
        r"\frac{\partial x_{i,j}^{l}}{\partial w_{m^{\prime},n^{\prime}}^l} = "
        r"\frac{\partial}{\partial w_{m^{\prime},n^{\prime}}^l}"
        r"\left( \sum_{m} \sum_{n} w_{m,n}^{l}o_{i+m, j+n}^{l-1} + b^l \right)",
        "An output's derivative by a weight is that of the sum the output is.",
    ),
    12: Equation(
        backward.weight_derivative,
        r"\frac{\partial x_{i,j}^{l}}{\partial w_{m^{\prime},n^{\prime}}^l} = "
        r"o_{i+m^{\prime},j+n^{\prime}}^{l-1}",
        "Only the product that holds the weight is left: the input pixel under it.",
    ),
    13: Equation(
        backward.weight_gradient,
        r"\frac{\partial E}{\partial w_{m',n'}^l} = \sum_{i=0}^{H-k_1} \sum_{j=0}^{W-k_2} "
        r"\delta^{l}_{i,j} o_{ i + m^{\prime}, j + n^{\prime}}^{l-1}",
        "A weight's gradient: each output's delta times the input pixel it saw through it.",
    ),
    14: Equation(
        backward.weight_gradient_as_convolution,
        r"\frac{\partial E}{\partial w_{m',n'}^l} = "
        r"\text{rot}_{180^\circ} \left\{ \delta^{l}_{i,j} \right\} \ast  "
        r"o_{m^{\prime},n^{\prime}}^{l-1}",
        "The weight gradient is the convolution of the input with the rotated delta.",
    ),
    15: Equation(
        backward.delta_by_definition,
        r"\delta^{l}_{i,j} = \frac{\partial E}{\partial x_{i,j}^{l}}",
        "A delta is the error's derivative by a layer's convolved input.",
    ),
    16: Equation(
        backward.input_delta_over_region,
        r"\frac{\partial E}{\partial x_{i',j'}^{l}} = \sum_{i,j \in Q} \delta^{l+1}_{Q} "
        r"\frac{\partial x_{Q}^{l+1}}{\partial x_{i',j'}^l}",
        "An input pixel reaches the error through the region Q of outputs that look at it.",
    ),
    17: Equation(
        backward.input_delta_over_offsets,
        r"\frac{\partial E}{\partial x_{i',j'}^{l}} = "
        r"\sum_{m = 0}^{k_1 -1} \sum_{n = 0}^{k_2 -1} \delta^{l+1}_{i'-m, j'-n} "
        r"\frac{\partial x_{i'-m, j'-n}^{l+1}}{\partial x_{i',j'}^l}",
        "The same region, counted by the kernel's own indices.",
    ),
    18: Equation(
        backward.input_derivative_expanded,
        r"\frac{\partial x_{i'-m,j'-n}^{l+1}}{\partial x_{i',j'}^l} = "
        r"\frac{\partial}{\partial x_{i',j'}^l}\left( \sum_{m'} \sum_{n'} w_{m',n'}^{l+1}"
        r"f\left(x_{i' - m + m',j' - n + n'}^{l}\right) + b^{l+1} \right)",
        "An output's derivative by an input pixel is that of the sum the output is.",
    ),
    19: Equation(
        backward.input_derivative,
        r"\frac{\partial x_{i^{\prime} - m,j^{\prime} - n}^{l+1}}{\partial x_{i',j'}^l} = "
        r"w_{m,n}^{l+1} f'\left(x_{i',j'}^{l}\right)",
        "Only the product that holds the pixel is left: its weight, times the activation's slope.",
    ),
    20: Equation(
        backward.input_delta,
        r"\frac{\partial E}{\partial x_{i',j'}^{l}} = "
        r"\sum_{m = 0}^{k_1 - 1} \sum_{n = 0}^{k_2 - 1} "
        r"\delta^{l+1}_{i^{\prime} - m,j^{\prime} - n} w_{m,n}^{l+1} "
        r"f'\left(x_{i',j'}^{l}\right)",
        "An input pixel's delta: the deltas of its region, each times the weight between them.",
    ),
    21: Equation(
        backward.input_delta_by_rotation,
        r"\frac{\partial E}{\partial x_{i',j'}^{l}} = "
        r"\text{rot}_{180^\circ} \left\{ \sum_{m = 0}^{k_1 - 1} \sum_{n = 0}^{k_2 - 1} "
        r"\delta^{l+1}_{i^{\prime} + m,j^{\prime} + n} w_{m,n}^{l+1} \right\} "
        r"f'\left(x_{i',j'}^{l}\right)",
        "The same as a cross-correlation of the delta with the rotated kernel: of what stands in "
        "the braces the kernel is rotated.",
    ),
    22: Equation(
        backward.input_delta_as_convolution,
        r"\frac{\partial E}{\partial x_{i',j'}^{l}} = "
        r"\delta^{l+1}_{i',j'} \ast \text{rot}_{180^\circ} \left\{ w_{m,n}^{l+1} \right\} "
        r"f'\left(x_{i',j'}^{l} \right)",
        "The same in short. The star is a convolution, which turns its kernel while it slides; "
        "the rotation that is written out is that very turn, and is made once.",
    ),
    "bias": Equation(
        backward.bias_gradient,
        r"\frac{\partial E}{\partial b^l} = \sum_{i=0}^{H-k_1} \sum_{j=0}^{W-k_2} "
        r"\delta^{l}_{i,j}",
        "Every output has the bias once, so its gradient is the sum of the deltas.",
    ),
    "activation derivative": Equation(
        activations.activation_derivative,
        r"f'(x_{i,j}^l) = \frac{\mathrm{d} f}{\mathrm{d} x}(x_{i,j}^l)",
        "The activation's slope, element by element.",
    ),
    "squared error delta": Equation(
        losses.squared_error_delta,
        r"\frac{\partial E}{\partial y_p} = y_p - t_p",
        "The delta that backpropagation starts from: how far a prediction is too large.",
    ),
    "max": Equation(
        pooling.max_pooling,
        r"o_B = \max_{(i,j) \in B} o_{i,j}",
        "A block's value is that of its winning unit, whose index is kept.",
    ),
    "max routing": Equation(
        pooling.max_routing,
        r"\delta_{i,j} = \sum_{B \ni (i,j)} \delta_B [(i,j) = \text{arg max}_B \, o]",
        "The delta goes to the winning unit alone.",
    ),
    "average": Equation(
        pooling.average_pooling,
        r"o_B = \frac{1}{N \times N} \sum_{(i,j) \in B} o_{i,j}",
        "A block's value is the mean of its units.",
    ),
    "average routing": Equation(
        pooling.average_routing,
        r"\delta_{i,j} = \sum_{B \ni (i,j)} \frac{1}{N \times N} \delta_B",
        "The delta is shared out evenly over the block.",
    ),
    "l2": Equation(
        pooling.l2_pooling,
        r"o_B = \sqrt{\sum_{(i,j) \in B} o_{i,j}^2}",
        "A block's value is the norm of its units.",
    ),
    "l2 routing": Equation(
        pooling.l2_routing,
        r"\delta_{i,j} = \sum_{B \ni (i,j)} \delta_B \frac{o_{i,j}}{o_B}",
        "The delta goes to each unit by its share of the norm.",
    ),
}
