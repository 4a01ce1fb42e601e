"""Layers: shapes, parameters, what they refuse, and the one error of a wrong stack."""

import numpy as np
import pytest

import convprop as cp
from convprop import equations as eq
from convprop.errors import InvalidInput
from convprop.explain import pool as explained
from convprop.layers import LAYERS, activations, layer_from_dict, pool
from convprop.machine.native import engine
from refusal import refuses


@pytest.mark.parametrize(
    ("layer", "input_shape", "output_shape"),
    [
        (cp.Conv(6, 5), (1, 28, 28), (6, 24, 24)),
        (cp.Conv(6, 5, padding=2), (1, 28, 28), (6, 28, 28)),
        (cp.Conv(4, (3, 2), stride=(2, 1), padding=(1, 0, 2, 1)), (3, 9, 10), (4, 4, 12)),
        (cp.Conv(4, 3, padding="same", stride=2), (3, 9, 10), (4, 5, 5)),
        (cp.Conv(4, 3, dilation=2), (3, 9, 10), (4, 5, 6)),
        (cp.MaxPool(2), (6, 9, 9), (6, 4, 4)),
        (cp.MaxPool(3, stride=2, padding=1), (6, 9, 9), (6, 5, 5)),
        (cp.AveragePool("global"), (6, 9, 7), (6, 1, 1)),
        (cp.L2Pool((2, 3)), (6, 9, 9), (6, 4, 3)),
        (cp.MaxPool(2, ceil_mode=True), (6, 9, 8), (6, 5, 4)),
        (cp.AveragePool(3, 2, 1, ceil_mode=True), (6, 4, 9), (6, 3, 5)),
        (cp.L2Pool(3, stride=1, dilation=(2, 1)), (6, 9, 9), (6, 5, 7)),
        (cp.ChannelShuffle(3), (6, 9, 8), (6, 9, 8)),
        (cp.StochasticDepth(0.2), (84,), (84,)),
        (cp.Dense(120), (16, 5, 5), (120,)),
        (cp.Flatten(), (16, 5, 5), (400,)),
        (cp.Dropout(0.5), (16, 5, 5), (16, 5, 5)),
        (cp.ReLU(), (84,), (84,)),
        (cp.GroupNorm(4), (8, 5, 5), (8, 5, 5)),
        (cp.LayerNorm(), (84,), (84,)),
        (cp.InstanceNorm(), (8, 5, 5), (8, 5, 5)),
        (cp.LocalResponseNorm(), (8, 5, 5), (8, 5, 5)),
    ],
)
def test_output_shape(layer, input_shape, output_shape):
    assert layer.output_shape(input_shape) == output_shape


def test_parameters_and_multiply_adds():
    def shapes(layer):
        return {part: of.shape for part, of in layer.parameters((4, 8, 8)).items()}

    conv = cp.Conv(6, (3, 5), groups=2)
    assert shapes(conv) == {"weight": (6, 2, 3, 5), "bias": (6,)}
    assert conv.multiply_adds((4, 8, 8)) == 6 * 2 * 3 * 5 * 6 * 4
    dense = cp.Dense(10, bias=False)
    assert shapes(dense) == {"weight": (10, 256)}
    assert dense.multiply_adds((4, 8, 8)) == 2560
    assert shapes(cp.MaxPool(2)) == {}
    assert cp.MaxPool(2).multiply_adds((4, 8, 8)) == 0


def test_native_descriptions_are_resolved():
    assert cp.Conv(6, 3, padding="same", flip_kernel=True).native((1, 8, 8)) == {
        "kind": "conv",
        "kernels": 6,
        "kernel_size": (3, 3),
        "stride": (1, 1),
        "padding": (1, 1, 1, 1),
        "padding_value": 0.0,
        "dilation": (1, 1),
        "groups": 1,
        "bias": True,
        "flip_kernel": True,
        "algorithm": "direct",
    }
    assert cp.AveragePool("global", count_padding=False).native((3, 4, 5)) == {
        "kind": "pool",
        "pool": "average",
        "size": (4, 5),
        "stride": (4, 5),
        "padding": (0, 0, 0, 0),
        "count_padding": False,
    }
    assert cp.MaxPool(3, stride=2, dilation=2, ceil_mode=True).native((3, 10, 11)) == {
        "kind": "pool",
        "pool": "max",
        "size": (3, 3),
        "stride": (2, 2),
        "padding": (0, 0, 0, 0),
        "dilation": (2, 2),
        "overhang": (1, 0),
        "count_padding": True,
    }
    assert cp.LeakyReLU(0.2).native((3,)) == {
        "kind": "activation",
        "activation": "leaky_relu",
        "slope": 0.2,
    }
    assert cp.ELU(0.5).native((3,)) == {"kind": "activation", "activation": "elu", "alpha": 0.5}
    assert cp.GELU().native((3,)) == {"kind": "activation", "activation": "gelu"}
    assert cp.GELU("tanh").native((3,)) == {"kind": "activation", "activation": "gelu_tanh"}
    assert cp.PReLU().native((3, 4, 5)) == {"kind": "prelu", "by_channel": False}
    assert cp.Softmax().native((3, 4, 5)) == {"kind": "softmax"}


def test_prelu_has_as_many_slopes_as_it_is_told():
    for shape in ((3, 4, 5), (3,)):
        for by_channel, count in ((False, 1), (True, 3)):
            (slope,) = cp.PReLU(by_channel=by_channel, initial=0.5).parameters(shape).values()
            assert slope.shape == (count,)
            assert slope.initializer == cp.initializers.Constant(0.5)
    assert cp.Network([cp.PReLU(), cp.Dense(2)], (1, 2, 2)).parameters["prelu1.slope"] == 0.25


def test_repr_shows_what_was_chosen():
    assert repr(cp.Conv(6, 5)) == "Conv(6, 5)"
    assert repr(cp.Conv(6, (3, 5), padding=2, stride=(2, 1))) == (
        "Conv(6, (3, 5), stride=(2, 1), padding=2)"
    )
    assert repr(cp.Conv(6, 5, padding=(1, 2))) == "Conv(6, 5, padding=(1, 2))"
    assert repr(cp.Conv(6, 5, initializer=cp.initializers.HeNormal(), name="stem")) == (
        "Conv(6, 5, initializer=HeNormal(), name='stem')"
    )
    assert repr(cp.MaxPool("global")) == "MaxPool('global')"
    assert repr(cp.MaxPool(3, 2, ceil_mode=True)) == "MaxPool(3, stride=2, ceil_mode=True)"
    assert repr(cp.Dropout(0.25)) == "Dropout(0.25)"
    assert repr(cp.ChannelShuffle(3)) == "ChannelShuffle(3)"
    assert repr(cp.StochasticDepth(0.25)) == "StochasticDepth(0.25)"
    squeeze = cp.SqueezeExcite(4, gate=cp.Tanh())
    assert repr(squeeze) == "SqueezeExcite(4, gate=Tanh())"
    assert repr(cp.Residual(squeeze, drop=0.1)) == f"Residual({squeeze!r}, drop=0.1)"
    assert repr(cp.ReLU()) == "ReLU()"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cp.Conv(0, 5), "kernels must be a positive integer, got 0"),
        (lambda: cp.Conv(2**31, 5), "kernels must be at most 2147483647, got 2147483648"),
        (
            lambda: cp.Conv(6, 5, stride=2**62),
            "stride must be at most 2147483647, got 4611686018427387904",
        ),
        (
            lambda: cp.Conv(6, (5, 2**62)),
            "kernel_size must be at most 2147483647, got 4611686018427387904",
        ),
        (
            lambda: cp.Conv(6, 5, padding=(0, np.int64(2**40))),
            "padding must be at most 2147483647, got 1099511627776",
        ),
        (
            lambda: cp.MaxPool(2**31),
            "size must be at most 2147483647, got 2147483648",
        ),
        (lambda: cp.Dense(2**40), "units must be at most 2147483647, got 1099511627776"),
        (lambda: cp.Conv(2.0, 5), "kernels must be a positive integer, got 2.0"),
        (lambda: cp.Conv(True, 5), "kernels must be a positive integer, got True"),
        (
            lambda: cp.Conv(6, -5),
            "kernel_size must be a positive integer or a pair of them, got -5",
        ),
        (
            lambda: cp.Conv(6, (5, 5, 5)),
            "kernel_size must be a positive integer or a pair of them, got (5, 5, 5)",
        ),
        (
            lambda: cp.Conv(6, 5, stride=0),
            "stride must be a positive integer or a pair of them, got 0",
        ),
        (
            lambda: cp.Conv(6, 5, dilation=(1, 0)),
            "dilation must be a positive integer or a pair of them, got (1, 0)",
        ),
        (
            lambda: cp.Conv(6, 5, padding=-1),
            "padding must be a non-negative integer, (vertical, horizontal),"
            " (top, bottom, left, right) or 'same', got -1",
        ),
        (
            lambda: cp.Conv(6, 5, padding="valid"),
            "padding must be a non-negative integer, (vertical, horizontal),"
            " (top, bottom, left, right) or 'same', got 'valid'",
        ),
        (
            lambda: cp.Conv(6, 5, padding_value=float("nan")),
            "padding_value must be a finite number, got nan",
        ),
        (lambda: cp.Conv(6, 5, groups=0), "groups must be a positive integer, got 0"),
        (lambda: cp.Conv(6, 5, groups=4), "groups must divide the 6 kernels, got 4"),
        (lambda: cp.Conv(6, 5, bias=1), "bias must be True or False, got 1"),
        (lambda: cp.Conv(6, 5, flip_kernel="no"), "flip_kernel must be True or False, got 'no'"),
        (
            lambda: cp.Conv(6, 5, initializer="he"),
            "initializer must be None or one of convprop.initializers, got 'he'",
        ),
        (
            lambda: cp.Dense(6, name="a.b"),
            "name must be an identifier of at most 64 characters, got 'a.b'",
        ),
        (
            lambda: cp.MaxPool(0),
            "size must be a positive integer or a pair of them, got 0",
        ),
        (
            lambda: cp.MaxPool("all"),
            "size must be a positive integer, a pair of them or 'global', got 'all'",
        ),
        (
            lambda: cp.MaxPool("global", stride=2),
            "stride must be None when size is 'global', got 2",
        ),
        (
            lambda: cp.MaxPool(2, padding=2),
            "padding must be smaller than the 2x2 pooling window on every side, got 2",
        ),
        (
            lambda: cp.MaxPool("global", dilation=2),
            "dilation must be 1 when size is 'global', got 2",
        ),
        (
            lambda: cp.MaxPool("global", ceil_mode=True),
            "ceil_mode must be False when size is 'global', got True",
        ),
        (
            lambda: cp.L2Pool(2, padding="same", ceil_mode=True),
            "ceil_mode must be False when padding is 'same', got True",
        ),
        (lambda: cp.MaxPool(2, ceil_mode=1), "ceil_mode must be True or False, got 1"),
        (
            lambda: cp.MaxPool(2, padding=3, dilation=2),
            "padding must be smaller than the 3x3 pooling window with its dilation on every side,"
            " got 3",
        ),
        (lambda: cp.ChannelShuffle(0), "groups must be a positive integer, got 0"),
        (
            lambda: cp.StochasticDepth(1),
            "rate must be a number with 0 <= value < 1, got 1",
        ),
        (
            lambda: cp.Residual(cp.ReLU(), drop=-0.1),
            "drop must be a number with 0 <= value < 1, got -0.1",
        ),
        (lambda: cp.SqueezeExcite(0), "channels must be a positive integer, got 0"),
        (
            lambda: cp.SqueezeExcite(4, gate=cp.Sigmoid),
            "gate must be a layer such as Sigmoid(), got <class"
            " 'convprop.layers.activations.Sigmoid'>",
        ),
        (
            lambda: cp.AveragePool(2, count_padding=0),
            "count_padding must be True or False, got 0",
        ),
        (lambda: cp.Dense(-1), "units must be a positive integer, got -1"),
        (lambda: cp.Dropout(1.0), "rate must be a number with 0 <= value < 1, got 1.0"),
        (lambda: cp.Dropout("half"), "rate must be a number with 0 <= value < 1, got 'half'"),
        (lambda: cp.LeakyReLU(-0.1), "slope must be a number of at least 0, got -0.1"),
        (lambda: cp.ELU(-1), "alpha must be a number of at least 0, got -1"),
        (lambda: cp.GELU("erf"), "approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda: cp.GELU(None), "approximate must be 'none' or 'tanh', got None"),
        (lambda: cp.PReLU(by_channel=3), "by_channel must be True or False, got 3"),
        (
            lambda: cp.PReLU(initial=1e300),
            "initial must be a number between -1e38 and 1e38, got 1e+300",
        ),
    ],
)
def test_refuses(make, message):
    with refuses(InvalidInput, message):
        make()


@pytest.mark.parametrize(
    ("layers", "input_shape", "message"),
    [
        ([], (1, 8, 8), "layers must hold at least one layer, got none"),
        (cp.ReLU(), (1, 8, 8), "layers must be a list of layers, got ReLU()"),
        ([cp.Dense(3), "relu"], (1, 8, 8), "layers must hold layers, got 'relu' at 2"),
        ([cp.ReLU], (1, 8, 8), "layers must hold layers, got the class ReLU at 1: ReLU()?"),
        (
            [cp.Dense(3, name="out"), cp.Dense(3, name="out")],
            (1, 8, 8),
            "layer names must be different, got 'out' 2 times",
        ),
        (
            [cp.Conv(3, 3, name="conv2"), cp.Conv(3, 3)],
            (1, 8, 8),
            "layer names must be different, got 'conv2' 2 times",
        ),
        (
            [cp.Dense(3)],
            (28, 28),
            "input_shape must be (channels, rows, columns), each a positive integer, got (28, 28)",
        ),
        (
            [cp.Dense(3)],
            (1, 28, 0),
            "input_shape must be (channels, rows, columns), each a positive integer,"
            " got (1, 28, 0)",
        ),
        (
            [cp.Conv(6, 5), cp.ReLU(), cp.MaxPool(2), cp.Conv(16, 5), cp.ReLU(), cp.Dense(10)],
            (1, 8, 8),
            "window must fit into its padded input of 2x2, got 5x5, at conv2 = Conv(16, 5):"
            " input 1x8x8 -> conv1 6x4x4 -> relu1 6x4x4 -> max_pool1 6x2x2 -> conv2",
        ),
        (
            [cp.MaxPool(9)],
            (1, 8, 8),
            "window must fit into its padded input of 8x8, got 9x9, at max_pool1 = MaxPool(9):"
            " input 1x8x8 -> max_pool1",
        ),
        (
            [cp.Conv(6, 3, groups=2)],
            (3, 8, 8),
            "groups must divide the 3 input channels, got 2, at conv1 = Conv(6, 3, groups=2):"
            " input 3x8x8 -> conv1",
        ),
        (
            [cp.Dense(10), cp.ReLU(), cp.Conv(6, 3)],
            (3, 8, 8),
            "input must have channels, rows and columns, got 10 values in one row,"
            " at conv1 = Conv(6, 3): input 3x8x8 -> dense1 10 -> relu1 10 -> conv1",
        ),
        (
            [cp.Flatten(), cp.MaxPool("global")],
            (3, 8, 8),
            "input must have channels, rows and columns, got 192 values in one row,"
            " at max_pool1 = MaxPool('global'): input 3x8x8 -> flatten1 192 -> max_pool1",
        ),
        (
            [cp.Conv(6, 1), cp.ChannelShuffle(4)],
            (3, 8, 8),
            "groups must divide the 6 input channels, got 4,"
            " at channel_shuffle1 = ChannelShuffle(4): input 3x8x8 -> conv1 6x8x8 ->"
            " channel_shuffle1",
        ),
        (
            [cp.MaxPool(2, padding=1, dilation=9)],
            (3, 8, 8),
            "dilation must be at most the input's 8 rows with padding before, got 9,"
            " at max_pool1 = MaxPool(2, padding=1, dilation=9): input 3x8x8 -> max_pool1",
        ),
        (
            [cp.Flatten(), cp.SqueezeExcite(2)],
            (3, 8, 8),
            "input must have channels, rows and columns, got 192 values in one row,"
            " at average_pool1 = AveragePool('global'): input 3x8x8 -> flatten1 192 ->"
            " average_pool1",
        ),
        (
            [cp.Conv(64, 1, padding=10000)],
            (3, 8, 8),
            "output must have at most 2147483584 values, got 64x20008x20008,"
            " at conv1 = Conv(64, 1, padding=10000): input 3x8x8 -> conv1",
        ),
    ],
)
def test_wrong_stacks_get_one_error(layers, input_shape, message):
    with refuses(InvalidInput, message):
        cp.Network(layers, input_shape)


def test_names_count_layers_of_a_kind():
    layers = [cp.Conv(3, 3, name="stem"), cp.ReLU(), cp.Conv(3, 3), cp.ReLU(), cp.Dense(2)]
    assert cp.Network(layers, (1, 8, 8)).names == ("stem", "relu1", "conv2", "relu2", "dense1")


def test_every_layer_survives_its_description():
    layers = [
        cp.Conv(
            6,
            (3, 5),
            stride=2,
            padding=(1, 0, 2, 1),
            padding_value=0.5,
            dilation=(1, 2),
            groups=3,
            bias=False,
            flip_kernel=True,
            initializer=cp.initializers.Constant(0.25),
            name="stem",
        ),
        cp.MaxPool(3, stride=2, padding="same"),
        cp.AveragePool("global", count_padding=False),
        cp.L2Pool((2, 1), stride=1),
        cp.MaxPool((3, 2), stride=2, dilation=(1, 2), ceil_mode=True),
        cp.ChannelShuffle(2),
        cp.StochasticDepth(0.2),
        cp.Dense(5, bias=False, initializer=cp.initializers.HeNormal(), name="out"),
        cp.Flatten(),
        cp.Dropout(0.1),
        cp.ReLU(),
        cp.LeakyReLU(0.3),
        cp.Sigmoid(),
        cp.Tanh(),
        cp.ScaledTanh(),
        cp.Softplus(),
        cp.ReLU6(),
        cp.ELU(0.5),
        cp.SELU(),
        cp.HardSigmoid(),
        cp.Softsign(),
        cp.GELU(approximate="tanh"),
        cp.SiLU(),
        cp.Mish(),
        cp.HardSwish(),
        cp.Identity(),
        cp.PReLU(by_channel=True, initial=0.1, name="learned"),
        cp.Softmax(),
        cp.Add(),
        cp.Multiply(name="scaled"),
        cp.Concat(),
        cp.BatchNorm(1e-3, momentum=0.2, over=16, frozen=True, trainable="bias", name="normal"),
        cp.GroupNorm(3, epsilon=0.5, affine=False, name="even"),
        cp.InstanceNorm(epsilon=1e-3),
        cp.LayerNorm(affine=False),
        cp.LocalResponseNorm(7, alpha=0.1, beta=0.5, k=2),
    ]
    assert {layer.kind for layer in layers} == LAYERS.keys()
    for layer in layers:
        assert layer_from_dict(layer.to_dict(), "layer") == layer
        assert layer.source


def test_equal_layers_are_equal_however_they_were_written():
    assert cp.Conv(6, 5, padding=1) == cp.Conv(6, [5, 5], padding=(1, 1, 1, 1))
    assert hash(cp.Conv(6, 5, padding=1)) == hash(cp.Conv(6, [5, 5], padding=(1, 1)))
    assert cp.ReLU() != cp.Tanh()


def test_engine_equations_and_layers_have_the_same_activations_and_poolings():
    layers = [*(layer() for layer in activations.ACTIVATIONS), cp.GELU("tanh")]
    kinds = {layer.native((3,))["activation"]: layer for layer in layers}
    assert kinds.keys() == set(engine.activations) == set(eq.KINDS)
    from_output = {kind for kind, layer in kinds.items() if not layer.reads_input}
    assert from_output == set(engine.activations_from_output)
    assert all(layer.reads_input != layer.reads_output for layer in layers)
    pools = {layer.pool for layer in pool.POOLINGS}
    assert pools == set(engine.poolings) == set(eq.pooling.POOLINGS) == set(explained.POOLINGS)


@pytest.mark.parametrize(
    ("module", "layers"),
    [(activations, activations.ACTIVATIONS), (pool, pool.POOLINGS)],
    ids=["activations", "poolings"],
)
def test_what_a_family_exports_is_what_a_model_file_may_name(module, layers):
    assert {layer.__name__ for layer in layers} == set(module.__all__)
    for layer in layers:
        assert getattr(cp, layer.__name__) is LAYERS[layer.kind] is layer
        assert layer.__name__ in cp.__all__
