"""The article's equations, one short function each, as literal sums in NumPy.

EQUATIONS maps each number to its function, its LaTeX and a sentence. The functions work on
single maps with the article's letters, in any float or complex dtype; they are slow, and meant
to be read and to be measured against. `general` holds the same sums for batches, channels,
stride, padding, dilation and groups, `network` for layers in a row. Where the article's
notation is loose, the docstring says what is meant and why. NumPy is all that is needed.

The article: "Backpropagation In Convolutional Neural Networks", Jefkine, 2016.
"""

from convprop.equations import (
    activations,
    batch_norm,
    channel_softmax,
    general,
    image_norm,
    network,
    pooling,
    prelu,
)
from convprop.equations.activations import *  # noqa: F403 - a new one is named in its own file alone
from convprop.equations.activations import activation
from convprop.equations.backward import (
    bias_gradient,
    delta_by_definition,
    input_delta,
    input_delta_as_convolution,
    input_delta_by_rotation,
    input_delta_over_offsets,
    input_delta_over_region,
    input_derivative,
    input_derivative_expanded,
    weight_derivative,
    weight_derivative_expanded,
    weight_gradient,
    weight_gradient_as_convolution,
    weight_gradient_by_chain_rule,
)
from convprop.equations.correlation import (
    convolution,
    convolution_by_flipped_kernel,
    convolve_grey_image,
    convolve_image,
    cross_correlation,
    forward,
    forward_as_convolution,
    rot180,
)
from convprop.equations.losses import (
    binary_cross_entropy,
    binary_cross_entropy_delta,
    smoothed_targets,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_delta,
    squared_error,
    squared_error_delta,
)
from convprop.equations.pooling import *  # noqa: F403 - as above
from convprop.equations.table import EQUATIONS, Equation

__all__ = [
    "EQUATIONS",
    "Equation",
    "activation",
    "batch_norm",
    "bias_gradient",
    "binary_cross_entropy",
    "binary_cross_entropy_delta",
    "channel_softmax",
    "convolution",
    "convolution_by_flipped_kernel",
    "convolve_grey_image",
    "convolve_image",
    "cross_correlation",
    "delta_by_definition",
    "forward",
    "forward_as_convolution",
    "general",
    "image_norm",
    "input_delta",
    "input_delta_as_convolution",
    "input_delta_by_rotation",
    "input_delta_over_offsets",
    "input_delta_over_region",
    "input_derivative",
    "input_derivative_expanded",
    "network",
    "prelu",
    "rot180",
    "smoothed_targets",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_delta",
    "squared_error",
    "squared_error_delta",
    "weight_derivative",
    "weight_derivative_expanded",
    "weight_gradient",
    "weight_gradient_as_convolution",
    "weight_gradient_by_chain_rule",
]
__all__ += activations.__all__
__all__ += pooling.__all__
