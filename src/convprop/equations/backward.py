"""Eq. 10-22 and the bias gradient: the backward pass of one map and one kernel.

Letters as in the article: o is the layer's input (H, W), w its kernel (k1, k2), delta is
dE/dx of its output (H-k1+1, W-k2+1). Eq. 10-14 carry it to the weights, Eq. 15-22 to the
input. Derivatives are kept as arrays with one pair of axes for what is differentiated and one
for what it is differentiated by. Any float or complex dtype.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convprop.equations.arrays import Array
from convprop.equations.correlation import (
    convolution,
    convolution_by_flipped_kernel,
    rot180,
)


def weight_gradient_by_chain_rule(delta: Array, derivative: Array) -> Array:
    """Eq. 10: sum over the outputs i, j of delta[i, j] derivative[i, j, m', n'].

    derivative is dx[i, j] / dw[m', n'] in four axes, as Eq. 11 and 12 compute it.
    """
    total = np.zeros(derivative.shape[2:], np.result_type(delta, derivative))
    for i, j in np.ndindex(delta.shape):
        total += delta[i, j] * derivative[i, j]
    return total


def weight_derivative_expanded(o: Array, kernel_size: tuple[int, int]) -> Array:
    """Eq. 11: d/dw[m', n'] of every product w[m, n] o[i+m, j+n] of the sum, then their sum.

    Returns (H-k1+1, W-k2+1, k1, k2). A product's derivative is its o where m = m' and n = n'
    and zero elsewhere; the bias's is zero.
    """
    rows, columns = o.shape[0] - kernel_size[0] + 1, o.shape[1] - kernel_size[1] + 1
    derivative = np.zeros((rows, columns, *kernel_size), o.dtype)
    for m_prime, n_prime in np.ndindex(kernel_size):
        for m, n in np.ndindex(kernel_size):
            own = (m, n) == (m_prime, n_prime)
            derivative[:, :, m_prime, n_prime] += own * o[m : m + rows, n : n + columns]
    return derivative


def weight_derivative(o: Array, kernel_size: tuple[int, int]) -> Array:
    """Eq. 12: dx[i, j] / dw[m', n'] = o[i+m', j+n'], as (H-k1+1, W-k2+1, k1, k2)."""
    rows, columns = o.shape[0] - kernel_size[0] + 1, o.shape[1] - kernel_size[1] + 1
    derivative = np.empty((rows, columns, *kernel_size), o.dtype)
    for m, n in np.ndindex(kernel_size):
        derivative[:, :, m, n] = o[m : m + rows, n : n + columns]
    return derivative


def weight_gradient(o: Array, delta: Array) -> Array:
    """Eq. 13: dE/dw[m', n'] = sum over i, j of delta[i, j] o[i+m', j+n'].

    The kernel's size follows from the two maps: k1 = H - rows of delta + 1, k2 alike.
    """
    rows, columns = delta.shape
    k1, k2 = o.shape[0] - rows + 1, o.shape[1] - columns + 1
    gradient = np.zeros((k1, k2), np.result_type(o, delta))
    for i, j in np.ndindex(delta.shape):
        gradient += delta[i, j] * o[i : i + k1, j : j + k2]
    return gradient


def weight_gradient_as_convolution(o: Array, delta: Array) -> Array:
    """Eq. 14: the convolution (Eq. 2) of o with the rotated delta, in its "valid" extent.

    Eq. 14 names the input by m', n' alone and gives no extent. The whole map o is meant, and
    only the places where all of delta lies on it: those are k1 x k2, one for each weight. The
    "full" extent would give (H + rows of delta - 1) rows, most of them of no weight.
    """
    return convolution(o, rot180(delta))


def bias_gradient(delta: Array) -> Array:
    """dE/db = sum over i, j of delta[i, j], since dx[i, j] / db = 1 in Eq. 7."""
    total = np.zeros((), delta.dtype)
    for i in range(delta.shape[0]):
        total = total + delta[i].sum()
    return total


def delta_by_definition(error: Callable[[Array], Array], x: Array) -> Array:
    """Eq. 15: dE/dx, taken from E itself, a function of an array like x, one element at a time.

    A step of i h in one element gives E(x + i h) = E(x) + i h dE/dx - h^2 ..., so the imaginary
    part over h is the derivative to the last bit: no two near numbers are subtracted, and the
    error h^2 is far below the smallest rounding (Squire & Trapp 1998). x is real; E must be
    computed without absolute values, conjugates or comparisons other than of real parts.
    """
    step = 1e-30
    probe = x.astype(np.result_type(x, np.complex128))
    delta = np.empty(x.shape, probe.real.dtype)
    for index in np.ndindex(x.shape):
        probe[index] = x[index] + 1j * step
        delta[index] = error(probe).imag / step
        probe[index] = x[index]
    return delta


def input_delta_over_region(delta: Array, derivative: Array, kernel_size: tuple[int, int]) -> Array:
    """Eq. 16: the sum over the outputs Q that the input pixel i', j' reaches.

    Q is the rectangle of outputs from (i'-k1+1, j'-k2+1) to (i', j'); near the border the part
    of it outside the output map does not exist and is left out. derivative is
    dx[i, j] of the next layer / dx[i', j'] of this one, as (rows, columns, H, W).
    """
    (rows, columns), (k1, k2) = delta.shape, kernel_size
    total = np.zeros(derivative.shape[2:], np.result_type(delta, derivative))
    for i_prime, j_prime in np.ndindex(total.shape):
        for i in range(max(i_prime - k1 + 1, 0), min(i_prime + 1, rows)):
            for j in range(max(j_prime - k2 + 1, 0), min(j_prime + 1, columns)):
                total[i_prime, j_prime] += delta[i, j] * derivative[i, j, i_prime, j_prime]
    return total


def input_delta_over_offsets(delta: Array, derivative: Array) -> Array:
    """Eq. 17: Eq. 16 with Q counted by m, n from its lower right corner.

    derivative is dx[i'-m, j'-n] of the next layer / dx[i', j'], as (k1, k2, H, W), the form of
    Eq. 18 and 19. delta[i'-m, j'-n] outside the output map counts as zero.
    """
    k1, k2, height, width = derivative.shape
    delta = np.pad(delta, ((k1 - 1, k1 - 1), (k2 - 1, k2 - 1)))
    total = np.zeros((height, width), np.result_type(delta, derivative))
    for m, n in np.ndindex(k1, k2):
        top, left = k1 - 1 - m, k2 - 1 - n
        total += delta[top : top + height, left : left + width] * derivative[m, n]
    return total


def input_derivative_expanded(w: Array, f_prime: Array) -> Array:
    """Eq. 18: d/dx[i', j'] of every product w[m', n'] f(x[i'-m+m', j'-n+n']), then their sum.

    Returns (k1, k2, H, W), f_prime being f'(x) of the whole map. A product depends on
    x[i', j'] only where m' = m and n' = n; every other derivative, and the bias's, is zero.
    """
    derivative = np.zeros((*w.shape, *f_prime.shape), np.result_type(w, f_prime))
    for m, n in np.ndindex(w.shape):
        for m_prime, n_prime in np.ndindex(w.shape):
            own = (m_prime, n_prime) == (m, n)
            derivative[m, n] += w[m_prime, n_prime] * (own * f_prime)
    return derivative


def input_derivative(w: Array, f_prime: Array) -> Array:
    """Eq. 19: dx[i'-m, j'-n] / dx[i', j'] = w[m, n] f'(x[i', j']), as (k1, k2, H, W)."""
    return w[:, :, np.newaxis, np.newaxis] * f_prime


def input_delta(delta: Array, w: Array, f_prime: complex | Array = 1.0) -> Array:
    """Eq. 20: dE/dx[i', j'] = sum over m, n of delta[i'-m, j'-n] w[m, n] f'(x[i', j']).

    Returns (rows of delta + k1 - 1, columns + k2 - 1), the layer's input size. f_prime is f'(x)
    of that size; without it the result is dE/do, the delta before the activation's own factor.
    """
    (rows, columns), (k1, k2) = delta.shape, w.shape
    total = np.zeros((rows + k1 - 1, columns + k2 - 1), np.result_type(delta, w))
    for m, n in np.ndindex(w.shape):
        total[m : m + rows, n : n + columns] += delta * w[m, n]
    return total * f_prime


def input_delta_by_rotation(delta: Array, w: Array, f_prime: complex | Array = 1.0) -> Array:
    """Eq. 21: the cross-correlation of delta with the rotated kernel, times f'.

    The braces of Eq. 21 hold the whole sum, but a map of sums turned round is not the delta of
    Eq. 20 (unless delta is symmetric). The sentence before it says what is meant, "a
    cross-correlation with a flipped kernel": the rotation is the kernel's alone, and the sum is
    delta[i'+m, j'+n] rot180{w}[m, n]. Its delta is the map with k1-1 rows and k2-1 columns of
    zeros on every side, whose index 0 is the first of them.
    """
    return convolution_by_flipped_kernel(delta, w, extent="full") * f_prime


def input_delta_as_convolution(delta: Array, w: Array, f_prime: complex | Array = 1.0) -> Array:
    """Eq. 22: the convolution (Eq. 2) of delta with w in its "full" extent, times f'.

    Eq. 22 writes rot180{w} behind the sign of a convolution. Were that sign Eq. 2's, the kernel
    would be flipped twice, which is the cross-correlation with w and not Eq. 20. The rotation
    is the very flip that makes a convolution of a cross-correlation (the article's words below
    Eq. 8: "the kernel is flipped and slid"), so it is done once: by Eq. 2 itself, here. The
    extent is "full": every input pixel under at least one output has a delta, which takes the
    map from (H-k1+1) x (W-k2+1) back to H x W.
    """
    return convolution(delta, w, extent="full") * f_prime
