"""Eq. 1-7: cross-correlation, convolution, and the forward pass of a convolutional layer.

Maps and kernels are arrays of (rows, columns). The sums over the window are written out; the
pixels i, j are taken all at once, by slices. Any float or complex dtype.
"""

from __future__ import annotations

import numpy as np

from convprop.equations.arrays import Array


def rot180(a: Array) -> Array:
    """Rotate a map or kernel by 180 degrees: flip its rows and its columns."""
    return a[::-1, ::-1]


def cross_correlation(image: Array, kernel: Array) -> Array:
    """Eq. 1: slide the kernel, unflipped, over the image.

    The article gives no range for i and j. Every pixel I(i+m, j+n) must exist, so i runs from
    0 to H-k1 and j from 0 to W-k2, which is the output size the article states further down.
    """
    rows = image.shape[0] - kernel.shape[0] + 1
    columns = image.shape[1] - kernel.shape[1] + 1
    total = np.zeros((rows, columns), np.result_type(image, kernel))
    for m, n in np.ndindex(kernel.shape):
        total += image[m : m + rows, n : n + columns] * kernel[m, n]
    return total


def convolution(image: Array, kernel: Array, extent: str = "valid") -> Array:
    """Eq. 2: the kernel's index runs against the image's.

    The article gives no range for i and j, and needs two. "full": i = 0 .. H+k1-2, wherever
    at least one pixel I(i-m, j-n) exists; pixels outside the image count as zero. "valid":
    i = k1-1 .. H-1, where every pixel exists; the result is stored from index 0, so it is
    (H-k1+1) x (W-k2+1). A layer's forward pass and Eq. 14 are "valid", Eq. 22 is "full".
    """
    (height, width), (k1, k2) = image.shape, kernel.shape
    total = np.zeros((height + k1 - 1, width + k2 - 1), np.result_type(image, kernel))
    for m, n in np.ndindex(kernel.shape):
        total[m : m + height, n : n + width] += image * kernel[m, n]
    return total if extent == "full" else total[k1 - 1 : height, k2 - 1 : width]


def convolution_by_flipped_kernel(image: Array, kernel: Array, extent: str = "valid") -> Array:
    """Eq. 3: the convolution of Eq. 2 as a cross-correlation with the flipped kernel.

    Read literally, K(-m, -n) with m = 0 .. k1-1 leaves the kernel after its first element.
    Two readings give it a meaning. With m = -(k1-1) .. 0 the sum is Eq. 2 with m renamed.
    With K(-m, -n) for the flipped kernel, whose indices start again at 0, it is
    K(k1-1-m, k2-1-n): the same sums, found at i-(k1-1), j-(k2-1). The second is meant, for
    it is what "cross-correlation with a flipped kernel" says; in the extents of Eq. 2, both
    stored from index 0, the shift disappears. The article's K(-m, -n) == K(m, n) then names
    the flipped kernel; as an equation it would hold for symmetric kernels only.
    """
    if extent == "full":
        before_and_after = [(size - 1, size - 1) for size in kernel.shape]
        image = np.pad(image, before_and_after)
    return cross_correlation(image, rot180(kernel))


def convolve_image(image: Array, kernels: Array, biases: Array) -> Array:
    """Eq. 4: an image (H, W, C), a bank of kernels (k1, k2, C, D) and biases (D,).

    Returns (H-k1+1, W-k2+1, D): Eq. 4 is written for one filter of the bank, and D of them
    make D maps. Its left side says convolution, but I's index i+m makes it the
    cross-correlation of Eq. 1, as the sentence below it admits; that is what a layer computes.
    """
    k1, k2, channels, bank = kernels.shape
    rows, columns = image.shape[0] - k1 + 1, image.shape[1] - k2 + 1
    total = np.zeros((rows, columns, bank), np.result_type(image, kernels, biases))
    for m, n, c in np.ndindex(k1, k2, channels):
        pixels = image[m : m + rows, n : n + columns, c, np.newaxis]
        total += kernels[m, n, c] * pixels
    return total + biases


def convolve_grey_image(image: Array, kernel: Array, bias: complex | Array) -> Array:
    """Eq. 5: Eq. 4 for one channel and one kernel: image (H, W), kernel (k1, k2)."""
    return cross_correlation(image, kernel) + bias


def forward_as_convolution(o: Array, w: Array, b: complex | Array = 0.0) -> Array:
    """Eq. 6: x = rot180{w} * o + b, the convolution of Eq. 2 in its "valid" extent.

    Rotating the kernel undoes the flip of the convolution, which is why Eq. 7 has none.
    """
    return convolution(o, rot180(w)) + b


def forward(o: Array, w: Array, b: complex | Array = 0.0) -> Array:
    """Eq. 7: the convolved input plus bias, x of (H-k1+1) x (W-k2+1).

    Eq. 6 and 7 write the bias with a pixel's indices, the notation section without: a map has
    one bias. A number and an array of x's shape are both accepted; the first is what is meant.
    """
    rows, columns = o.shape[0] - w.shape[0] + 1, o.shape[1] - w.shape[1] + 1
    x = np.zeros((rows, columns), np.result_type(o, w, b))
    for m, n in np.ndindex(w.shape):
        x += w[m, n] * o[m : m + rows, n : n + columns]
    return x + b
