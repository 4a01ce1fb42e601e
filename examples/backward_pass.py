"""Read the backward pass: take one gradient and one delta apart into the products they sum.

    python examples/backward_pass.py

Two convolutions of one kernel each, one image, float64: small enough to write everything
down with the article's equations.
"""

import numpy as np

import convprop as cp
from convprop import equations
from convprop.data import load

digits = load("digits").test
image, label = digits.images[:1], digits.labels[:1]

net = cp.Network(
    [cp.Conv(1, 3), cp.Tanh(), cp.Conv(1, 3), cp.Tanh(), cp.Dense(10)],
    input_shape=(1, 8, 8),
    dtype="float64",
    seed=1,
)
net.normalisation = [8.0], [1 / 8]
back = net.backpropagate(image, label)
print(f"E = {back.loss:.6f} for an image of a {label[0]}\n")
for layer in back.layers:
    print(f"{layer.name:<7} dE/d(output) {layer.delta.shape}, largest {abs(layer.delta).max():.3e}")

conv1, tanh1, conv2 = back.layers[:3]
w = net.parameters["conv2.weight"][0, 0]
o = conv2.input[0, 0]  # What the second convolution sees, o of layer l-1.
delta = conv2.delta[0, 0]  # dE/dx of the second convolution, delta of layer l.

# Eq. 13: the gradient of w[1, 2] is the sum of delta[i, j] o[i+1, j+2] over all i, j.
products = delta * o[1 : 1 + delta.shape[0], 2 : 2 + delta.shape[1]]
engine = conv2.gradients["weight"][0, 0, 1, 2]
print(f"\ndE/dw[1, 2] of conv2, the sum of these {products.size} products (Eq. 13):")
print(np.array2string(products, precision=5, suppress_small=True))
print(f"their sum {products.sum():.12f}\nengine    {engine:.12f}")

# Eq. 20: delta of the first convolution at i', j' = 3, 2 is the sum of
# delta[i'-m, j'-n] w[m, n] f'(x[i', j']) over m, n, as far as delta has such an element.
i, j = 3, 2
slope = 1 - tanh1.output[0, 0, i, j] ** 2  # f'(x) of tanh.
terms = [
    delta[i - m, j - n] * w[m, n] * slope
    for m, n in np.ndindex(w.shape)
    if 0 <= i - m < delta.shape[0] and 0 <= j - n < delta.shape[1]
]
print(f"\ndelta[{i}, {j}] of conv1, the sum of these {len(terms)} products (Eq. 20):")
print(np.array2string(np.array(terms), precision=5, suppress_small=True))
print(f"their sum {sum(terms):.12f}\nengine    {conv1.delta[0, 0, i, j]:.12f}")

# The same for every weight and every pixel at once, by the equations themselves.
slopes = 1 - tanh1.output[0, 0] ** 2
print()
for what, ours, article in (
    ("Eq. 13", conv2.gradients["weight"][0, 0], equations.weight_gradient(o, delta)),
    ("Eq. 14", conv2.gradients["weight"][0, 0], equations.weight_gradient_as_convolution(o, delta)),
    ("Eq. 20", conv1.delta[0, 0], equations.input_delta(delta, w, slopes)),
    ("Eq. 22", conv1.delta[0, 0], equations.input_delta_as_convolution(delta, w, slopes)),
):
    print(f"the engine agrees with {what} to 1e-14: {bool(abs(ours - article).max() < 1e-14)}")
