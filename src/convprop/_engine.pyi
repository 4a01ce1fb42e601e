"""The native engine, as ``convprop._native`` chooses it.

The arrays of one call share a dtype, float32 or float64, and are C-contiguous; what they mean
is said where the package calls this: `convprop.ops` and `convprop.network`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]

isa: str

def set_num_threads(threads: int, processors: int) -> None: ...
def get_num_threads() -> int: ...
def multiply_add_limit(dtype: str, seconds: float) -> float: ...
def random_bits(seed: int, stream: int, count: int) -> NDArray[np.uint64]: ...
def augment(
    settings: Mapping[str, float],
    images: Array,
    indices: NDArray[np.int64],
    rows: NDArray[np.int64],
    mean: Array,
    deviation: Array,
    seed: int,
    epoch: int,
) -> Array: ...
def conv_forward(
    o: Array,
    w: Array,
    b: Array | None,
    stride: Pair = (1, 1),
    padding: Sides = (0, 0, 0, 0),
    padding_value: float = 0.0,
    dilation: Pair = (1, 1),
    groups: int = 1,
    flip_kernel: bool = False,
) -> Array: ...
def conv_weight_gradient(
    o: Array,
    delta: Array,
    kernel_size: Pair,
    stride: Pair = (1, 1),
    padding: Sides = (0, 0, 0, 0),
    padding_value: float = 0.0,
    dilation: Pair = (1, 1),
    groups: int = 1,
    flip_kernel: bool = False,
) -> Array: ...
def conv_input_delta(
    delta: Array,
    w: Array,
    input_size: Pair,
    stride: Pair = (1, 1),
    padding: Sides = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    flip_kernel: bool = False,
) -> Array: ...
def bias_gradient(delta: Array) -> Array: ...
def pool_forward(
    o: Array,
    kind: str,
    size: Pair,
    stride: Pair,
    padding: Sides = (0, 0, 0, 0),
    count_padding: bool = True,
) -> tuple[Array, NDArray[np.int64] | None]: ...
def pool_input_delta(
    delta: Array,
    o: Array,
    kind: str,
    size: Pair,
    stride: Pair,
    padding: Sides = (0, 0, 0, 0),
    count_padding: bool = True,
) -> Array: ...
def dense_forward(o: Array, w: Array, b: Array | None) -> Array: ...
def dense_weight_gradient(o: Array, delta: Array) -> Array: ...
def dense_input_delta(delta: Array, w: Array) -> Array: ...
def activation_forward(x: Array, kind: str, slope: float = 0.01) -> Array: ...
def activation_input_delta(delta: Array, o: Array, kind: str, slope: float = 0.01) -> Array: ...
def dropout(o: Array, rate: float, seed: int, step: int, layer: int) -> Array: ...
def loss(
    y: Array,
    targets: Array,
    kind: str,
    sample_weight: NDArray[np.float64] | None = None,
    label_smoothing: float = 0.0,
) -> tuple[NDArray[np.float64], Array]: ...
def running_sums(start: Array, a: Array, b: Array) -> Array: ...
def softmax(y: Array) -> Array: ...
def exp(x: Array) -> Array: ...
def log(x: Array) -> Array: ...
def tanh(x: Array) -> Array: ...
def sigmoid(x: Array) -> Array: ...

class Plan32:
    def bind(self, parameters: Sequence[Array]) -> None: ...
    def bind_optimizer(
        self, kind: str, settings: Mapping[str, float], state: Sequence[Array]
    ) -> None: ...
    def train_step(
        self,
        images: Array,
        indices: NDArray[np.int64] | None,
        targets: Array,
        sample_weight: NDArray[np.float64] | None,
        offset: Array,
        scale: Array,
        learning_rate: float,
        step: int,
        seed: int,
        clip_norm: float = 0.0,
    ) -> tuple[float, int]: ...
    def gradients(
        self,
        images: Array,
        indices: NDArray[np.int64] | None,
        targets: Array,
        sample_weight: NDArray[np.float64] | None,
        offset: Array,
        scale: Array,
        step: int,
        seed: int,
        gradients: Sequence[Array],
    ) -> tuple[float, int]: ...
    def predict(
        self, images: Array, indices: NDArray[np.int64] | None, offset: Array, scale: Array
    ) -> Array: ...
    def output(self, layer: int) -> Array: ...
    def delta(self, layer: int) -> Array: ...
    @property
    def bytes(self) -> int: ...
    def start_profile(self) -> None: ...
    def profile(self) -> list[tuple[int, str, float, float]]: ...

class Plan64(Plan32): ...

def Plan(
    dtype: str,
    input_shape: tuple[int, int, int],
    layers: Sequence[Mapping[str, object]],
    loss: str,
    batch_size: int,
    mode: str,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Plan32: ...
def plan_bytes(
    dtype: str,
    input_shape: tuple[int, int, int],
    layers: Sequence[Mapping[str, object]],
    loss: str,
    batch_size: int,
    mode: str,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> int: ...
