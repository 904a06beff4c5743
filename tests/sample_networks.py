"""Sample networks for every kind of layer and loss, for tests that go through all of them."""

from __future__ import annotations

from experiments import act, conv, dense

from layerscope.core.activations import ACTIVATIONS
from layerscope.core.data.base import DataSet
from layerscope.core.experiment import Experiment, build

DIGITS = DataSet.registry["digits"]().load(0)  # images of 8 by 8 pixels


def kind(name, **fields):
    return {"kind": name, **fields}


def residual(*body, **fields):
    return kind("residual", body=list(body), **fields)


def inception(*branches):
    return kind("inception", branches=[list(branch) for branch in branches])


def weight_norm(layer):
    return kind("weight_norm", layer=layer)


VECTOR = dense(6)  # makes a vector of the digits, with a way back through what follows
IMAGE = conv(3)  # makes an image of 6 by 6 pixels and 3 channels
NORM = kind("batch_norm")

# Sample networks for every kind of layer and every option, on vectors and on images where it takes both; a kind without
# one fails `test_everything_has_a_sample`. The dense layer with one unit per class is added at the end.
LAYER_SAMPLES = {
    "dense": [[dense(9)], [dense(9, bias=False)], [dense(1), dense(9)], [IMAGE, dense(4)]],
    "activation": [[dense(9), act(name)] for name in ACTIVATIONS.names()]
    + [[dense(9), act("leaky_relu", slope=0.3)], [dense(9), act("elu", alpha=0.4)], [act("tanh"), dense(9)]]
    + [[IMAGE, act("gelu")]],
    "conv2d": [
        [conv(3)],
        [conv(2, bias=False), conv(4)],
        [conv(2, 2), conv(3, 3, padding="same")],
        [conv(2), conv(3, 3, stride=2, padding="same"), act("tanh"), conv(2, 2, padding="same")],
        [conv(2), conv(3, 4, stride=3, padding="same")],
        [conv(2, 1), conv(3, 3, stride=2)],
        [conv(2, 5, padding="same"), conv(3, 1, stride=2)],
        [conv(2, 1), conv(2, 31, padding="same")],
    ],
    "max_pool": [
        [IMAGE, kind("max_pool")],
        [IMAGE, kind("max_pool", size=3, stride=1)],
        [IMAGE, kind("max_pool", size=2, stride=3)],
        [kind("max_pool"), conv(2, 2)],
        [IMAGE, act("relu"), kind("max_pool")],
    ],
    "average_pool": [
        [IMAGE, kind("average_pool")],
        [IMAGE, kind("average_pool", size=3, stride=1)],
        [IMAGE, kind("average_pool", size=2, stride=3)],
        [kind("average_pool"), conv(2, 2)],
    ],
    "global_average_pool": [[IMAGE, kind("global_average_pool")], [IMAGE, act("tanh"), kind("global_average_pool")]],
    "flatten": [[IMAGE, kind("flatten"), dense(5)], [VECTOR, kind("flatten")], [kind("flatten"), dense(5)]],
    "dropout": [[VECTOR, kind("dropout", rate=0.3)], [IMAGE, kind("dropout")], [kind("dropout", rate=0.2), VECTOR]],
    "batch_norm": [
        [VECTOR, NORM],
        [NORM, VECTOR],
        [IMAGE, NORM, act("tanh")],
        [VECTOR, kind("batch_norm", epsilon=0.1, momentum=0.5)],
        [VECTOR, NORM, act("sigmoid"), dense(5), NORM],
    ],
    "layer_norm": [
        [VECTOR, kind("layer_norm")],
        [kind("layer_norm"), VECTOR],
        [IMAGE, kind("layer_norm"), act("tanh")],
        [VECTOR, kind("layer_norm", epsilon=0.1), act("sigmoid"), dense(5), kind("layer_norm")],
    ],
    "weight_norm": [
        [weight_norm(dense(7)), act("tanh")],
        [VECTOR, weight_norm(dense(7, bias=False))],
        [IMAGE, weight_norm(conv(2))],
        [weight_norm(conv(2, 2, stride=2, bias=False)), act("tanh"), weight_norm(dense(4))],
        [weight_norm(dense(7, "lsuv")), act("tanh")],
    ],
    "residual": [
        [VECTOR, residual(dense(6), act("tanh"), scale=0.7)],
        [VECTOR, residual(dense(4), act("tanh"), shortcut="projection")],
        [VECTOR, residual()],
        [VECTOR, residual(scale=-0.5)],
        [residual(kind("flatten"), dense(5), shortcut="projection")],
        [IMAGE, residual(conv(3, padding="same"), act("tanh"))],
        [IMAGE, residual(conv(4, stride=2, padding="same"), shortcut="projection", scale=0.5)],
        [VECTOR, residual(act("tanh"), residual(dense(6), NORM), scale=2.0)],
    ],
    "inception": [
        [VECTOR, inception([dense(2)], [dense(3), act("tanh")], [])],
        [IMAGE, inception([conv(2, 1)], [conv(1, padding="same"), act("tanh")], [])],
        [inception([conv(2)], [conv(1, 1), conv(2)])],
        [VECTOR, inception([])],
        [IMAGE, inception([kind("max_pool")], [conv(2, 2, stride=2)])],
    ],
}
NESTED = {
    "residual in inception in residual": [
        VECTOR,
        residual(inception([residual(dense(6), act("tanh"))], [dense(3), NORM]), dense(6), scale=0.5),
    ],
    "weight norm in both": [
        VECTOR,
        residual(weight_norm(dense(6)), inception([weight_norm(dense(2)), act("tanh")], [dense(4)])),
    ],
    "images": [
        IMAGE,
        residual(
            inception([conv(2, 1), NORM], [conv(1, 3, padding="same")], []),
            act("gelu"),
            weight_norm(conv(3, 3, padding="same")),
            kind("dropout", rate=0.2),
        ),
        kind("max_pool"),
        inception([kind("global_average_pool")], [kind("flatten"), dense(4), kind("layer_norm")]),
    ],
    "muted layers": [
        VECTOR,
        kind("layer_norm", muted=True),
        residual(dense(6), kind("batch_norm", muted=True), inception([act("tanh", muted=True)]), act("tanh")),
        residual(dense(9), muted=True),
    ],
    "three deep": [VECTOR, residual(residual(residual(residual(), act("tanh")), NORM, scale=0.5), dense(6))],
}
LOSS_SAMPLES = {
    "softmax_cross_entropy": [
        kind("softmax_cross_entropy"),
        kind("softmax_cross_entropy", label_smoothing=0.2),
    ],
    "binary_cross_entropy": [kind("binary_cross_entropy")],
    "mse": [kind("mse")],
    "huber": [kind("huber"), kind("huber", delta=0.4)],
}


def net(layers, loss=None, seed=0, outputs=10, **training) -> Experiment:
    return build(
        Experiment,
        {
            "network": [*layers, dense(outputs)],
            "seed": seed,
            "loss": loss or kind("softmax_cross_entropy"),
            "training": {"batch_size": 7, **training},
        },
    )
