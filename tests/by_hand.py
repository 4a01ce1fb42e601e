"""Sums in the order that DESIGN.md gives, in whole-number arithmetic: nobody's fma but our own."""

from fractions import Fraction

import numpy as np

BITS = {np.float32: 24, np.float64: 53}


def rounded(exact: Fraction, dtype: type) -> np.floating:
    """Return the nearest number of the dtype, of two the even one; subnormal ones become 0."""
    if exact == 0:
        return dtype(0)
    bits = BITS[dtype]
    exponent = abs(exact.numerator).bit_length() - exact.denominator.bit_length() - bits
    while abs(exact) >= Fraction(2) ** (exponent + bits):
        exponent += 1
    while abs(exact) < Fraction(2) ** (exponent + bits - 1):
        exponent -= 1
    # round() takes the even one of two.
    found = dtype(round(exact / Fraction(2) ** exponent) * 2.0**exponent)
    return found if abs(found) >= np.finfo(dtype).tiny else dtype(0)


def fma(a: np.floating, b: np.floating, c: np.floating) -> np.floating:
    """Return a b + c, rounded once."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    return rounded(exact, type(c))


def add(a: np.floating, b: np.floating) -> np.floating:
    """Return a + b, rounded."""
    return rounded(Fraction(float(a)) + Fraction(float(b)), type(a))


def sum_of_images(sums: list[np.floating]) -> np.floating:
    """Add sixteen images by halves, blocks in order, at most eight groups by a tree."""
    zero = type(sums[0])(0)
    blocks = []
    for first in range(0, len(sums), 16):
        lanes = sums[first : first + 16]
        lanes = lanes + [zero] * (16 - len(lanes))
        for half in (8, 4, 2, 1):
            lanes = [add(lanes[n], lanes[n + half]) for n in range(half)]
        blocks.append(lanes[0])
    number = min(len(blocks), 8)
    groups = []
    for group in range(number):
        total = zero
        for block in blocks[len(blocks) * group // number : len(blocks) * (group + 1) // number]:
            total = add(total, block)
        groups.append(total)
    apart = 1
    while apart < number:
        for group in range(0, number - apart, 2 * apart):
            groups[group] = add(groups[group], groups[group + apart])
        apart *= 2
    return groups[0]
