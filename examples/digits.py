"""Train a preset on the digits, watch a held-out part, save the network and use it again.

    python examples/digits.py

Writes digits.safetensors, digits-training.svg and digits-mistakes.svg into the current folder.
"""

import convprop as cp
from convprop.data import load
from pictures import curves, grid

split = load("digits")  # 8x8 images with grey values 0..16, as uint8 (N, 1, 8, 8).
train, test = split.train, split.test
net = cp.preset("digits", input_shape=train.image_shape, classes=10, seed=0)
net.class_names = train.class_names
print(net.summary(), end="\n\n")

history = cp.train(
    net,
    train.images,
    train.labels,
    optimizer=cp.Adam(3e-3),
    schedule=cp.schedules.OneCycle(),
    epochs=10,
    batch_size=32,
    validation=0.1,
    on_epoch=lambda epoch: print(
        f"epoch {epoch.epoch:2}: loss {epoch.loss:.4f},"
        f" held-out accuracy {epoch.validation_accuracy:.1%}"
    ),
)
curves(
    "digits-training.svg",
    {
        "training, with dropout": [epoch.loss for epoch in history],
        "held out": [epoch.validation_loss for epoch in history],
    },
    "epoch",
    "loss",
)

net.save("digits.safetensors")
again = cp.load("digits.safetensors")
loss, accuracy = again.evaluate(test.images, test.labels)
print(f"\n{len(test)} test images: loss {loss:.4f}, accuracy {accuracy:.1%}")

probabilities = again.predict(test.images)
said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
wrong = (said != test.labels).nonzero()[0]
for index in wrong:
    print(f"a {test.labels[index]} is taken for a {said[index]} with probability {sure[index]:.2f}")
grid(
    "digits-mistakes.svg",
    255 - test.images[wrong] * 15,
    [f"{test.labels[index]}, not {said[index]}" for index in wrong],
    columns=6,
    side=72,
)
