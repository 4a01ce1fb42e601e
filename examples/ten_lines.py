"""A convolutional network on scikit-learn's digits, in ten lines."""

import convprop as cp
from convprop.data import load

train, test = (split := load("digits")).train, split.test
net = cp.Network(
    [cp.Conv(16, 3, padding=1), cp.ReLU(), cp.MaxPool(2), cp.Dense(10)], input_shape=(1, 8, 8)
)
cp.train(net, train.images, train.labels, optimizer=cp.Adam(3e-3), epochs=15, batch_size=32)
print(f"{net.evaluate(test.images, test.labels).accuracy:.1%} of {len(test)} digits are right")
