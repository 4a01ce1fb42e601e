"""Learn three numbers of an image: where a ring is, and how large.

    python examples/regression.py

Draws its images itself. Writes regression.svg into the current folder.
"""

import numpy as np

import convprop as cp
from pictures import grid

SIDE = 24


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy grey images (N, 1, 24, 24) of rings, and their (column, row, radius)."""
    random = np.random.default_rng(seed)
    truth = np.column_stack([random.uniform(7, 17, (count, 2)), random.uniform(3, 6, count)])
    x, y, radius = truth.T.reshape(3, count, 1, 1)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    from_ring = abs(np.sqrt((columns - x) ** 2 + (rows - y) ** 2) - radius)
    light = 40 + 160 * (1.5 - from_ring).clip(0, 1) + random.normal(0, 20, from_ring.shape)
    return light.clip(0, 255).astype(np.uint8)[:, np.newaxis], truth


images, truth = draw(2000, seed=0)
new_images, new_truth = draw(200, seed=1)

net = cp.Network(
    [
        *(cp.Conv(16, 5, padding=2), cp.ReLU(), cp.AveragePool(2)),
        *(cp.Conv(32, 3, padding=1), cp.ReLU(), cp.AveragePool(2)),
        *(cp.Dense(128), cp.ReLU(), cp.Dense(3)),
    ],
    input_shape=(1, SIDE, SIDE),
    loss=cp.SquaredError(),
)
# Targets about 0, with a deviation of about 1, suit the first weights: the network makes them.
net.target_scaling = [12, 12, 4.5], [3, 3, 1]
history = cp.train(
    net,
    images,
    truth,
    optimizer=cp.Adam(3e-3),
    schedule=cp.schedules.OneCycle(),
    epochs=15,
    batch_size=32,
)
for epoch in history[:: len(history) // 5]:
    print(f"epoch {epoch.epoch:2}: loss {epoch.loss:.4f}")

said = net.predict(new_images)
error = np.abs(said - new_truth).mean(axis=0)
print("mean error in pixels: column {:.2f}, row {:.2f}, radius {:.2f}".format(*error))
explained = 1 - ((said - new_truth) ** 2).sum() / ((new_truth - new_truth.mean(axis=0)) ** 2).sum()
print(f"{explained:.1%} of the variance is explained")

# The answers, drawn over the images.
circles = [
    f'<circle cx="{x + 0.5:.2f}" cy="{y + 0.5:.2f}" r="{radius:.2f}" fill="none"'
    ' stroke="#ff8c00" stroke-width="0.4"/>'
    for x, y, radius in said[:12]
]
captions = [f"radius {radius:.1f}" for radius in said[:12, 2]]
grid("regression.svg", new_images[:12], captions, columns=6, side=96, drawn=circles)
