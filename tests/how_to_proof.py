"""What networks of LogSigmoid, SumPool and Scale must hold; test_how_to.py has added them.

`python tests/how_to_proof.py FOLDER` writes a model file there.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import convprop as cp
from convprop import equations as eq
from convprop import ops
from convprop.check.bits import check_bits
from convprop.check.network import check_network
from convprop.explain import Explainer

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 1, 8, 8) / 16
layers = [cp.Conv(8, 3), cp.LogSigmoid(), cp.SumPool(2), cp.Conv(12, 3, name="second")]
layers += [cp.LogSigmoid(), cp.SumPool((1, 2), stride=1, padding=(0, 0, 0, 1)), cp.Dense(10)]
images = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
net = cp.Network(layers, (1, 12, 12), seed=1)
cp.train(net, images, labels, epochs=10, batch_size=32, seed=1)
accuracy = net.evaluate(images, labels).accuracy
assert accuracy > 0.9, accuracy

path = Path(sys.argv[1]) / "network.safetensors"
net.save(path)
again = cp.load(path)
assert again.layers == net.layers
assert np.array_equal(again.forward(images), net.forward(images))
for name in ("log_sigmoid1", "sum_pool1"):
    assert name in str(net.summary())
    assert net.names.count(name) == 1

rows = check_network(net)
assert all(row.passed for row in rows), [row for row in rows if not row.passed]
assert any("complex steps" in row.group for row in rows)

o = np.random.default_rng(0).standard_normal((3, 2, 4, 5))
f = ops.activation.forward(o, "log_sigmoid")
assert np.allclose(f, eq.log_sigmoid(o), rtol=1e-14)
back = ops.activation.input_delta(o, f, "log_sigmoid")
assert np.allclose(back, o * eq.log_sigmoid_derivative(o), rtol=1e-13)
summed = ops.pool.forward(o, "sum", (2, 3), stride=1)[0]
assert np.allclose(summed, eq.sum_pooling(o, (2, 3), (1, 1)), rtol=1e-14)
back = ops.pool.input_delta(summed, o, "sum", (2, 3), stride=1)
assert np.allclose(back, eq.sum_routing(summed, (4, 5), (2, 3), (1, 1)), rtol=1e-14)

asked = Explainer(net, images[:3], labels[:3])
for at, name in enumerate(net.names):
    went = asked.done.layers[at]
    for index in np.ndindex(*went.output.shape[1:]):
        if sum(index) % 3 == 0:
            assert asked.output(name, *index, image=1).exact, (name, index)
    for index in np.ndindex(*went.input.shape[1:]):
        if sum(index) % 3 == 0:
            assert asked.delta(name, *index, image=1).exact, (name, index)
assert r"-\log (1 + e^{-x})" in asked.output("log_sigmoid1", 0, 0, 0).formula
assert "all of the delta to every unit" in asked.delta("sum_pool1", 0, 0, 0).source

scaled = cp.Network(
    [cp.Scale(0.5), cp.Conv(4, 3), cp.Scale(1.5), *layers[-2:]], (1, 12, 12), seed=1
)
assert all(row.passed for row in check_network(scaled))
assert np.array_equal(scaled.forward(images[:3]), scaled.forward(images[:48])[:3])
cp.train(scaled, images[:100], labels[:100], epochs=1, seed=1)
scaled.save(path)
assert cp.load(path).layers == scaled.layers

wanted = ("activation", "pool", "scaled-40")
recorded = [row for row in check_bits(2) if row.name in wanted]
assert sorted(row.name for row in recorded) == sorted(wanted)
assert all(row.threads == [1, 2, 3, 7] and not row.differing for row in recorded)
for kind in ("log_sigmoid", "sum"):
    lines = Path(cp.__file__).with_name("check").joinpath("bits.txt").read_text().splitlines()
    assert any(f"={kind} " in line for line in lines), kind
print("proved")
