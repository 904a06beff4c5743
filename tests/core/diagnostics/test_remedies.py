"""Remedies change what they say, in blocks and wrappers too, and nothing else."""

import pytest
from experiments import act, conv, dense, experiment

from layerscope.core.diagnostics.remedies import (
    learning_rate,
    normalization,
    normalized_blocks,
    rounded,
    spread_off,
    suited_weights,
    weighted_layers,
)
from layerscope.core.network import plan


def drawn(units, std):
    return {**dense(units), "init": {"kind": "normal", "std": std}}


def laid_out(*layers, **training):
    made = experiment(*layers, **training)
    return made, plan(made)


def test_weights_suit_the_function_behind_them_or_before_them():
    made, layout = laid_out(
        dense(8),
        act("relu"),
        {"kind": "residual", "body": [act("selu"), {"kind": "weight_norm", "layer": dense(8)}]},
        dense(8, "zeros"),
        act("tanh"),
        dense(10),
    )
    found = [(place, function, output) for place, _card, function, output in weighted_layers(made, layout)]
    assert found == [
        ("network.0.init", "relu", False),
        ("network.2.body.1.layer.init", "selu", False),
        ("network.3.init", "tanh", False),
        ("network.5.init", "tanh", True),
    ]
    changed = suited_weights(made, layout).apply(made)
    names = [changed.network[0], changed.network[2].body[1].layer, changed.network[3], changed.network[5]]
    assert [layer.init.kind_name() for layer in names] == [
        "he_normal",
        "lecun_normal",
        "glorot_normal",
        "glorot_normal",
    ]


def test_a_new_function_comes_with_its_weights():
    made, layout = laid_out(dense(8), act("sigmoid"), dense(8), act("tanh"), dense(10))
    proposal = suited_weights(made, layout, "relu")
    changed = proposal.apply(made)
    assert [changed.network[i].function for i in (1, 3)] == ["relu", "relu"]
    assert [changed.network[i].init.kind_name() for i in (0, 2, 4)] == ["he_normal", "he_normal", "glorot_normal"]
    assert proposal.text == "ReLU with He weights"


@pytest.mark.parametrize(
    ("layers", "ratio"),
    [
        ((dense(64, "he_normal"), act("relu"), dense(10)), 1.0),
        ((drawn(64, 10.0), act("tanh"), dense(10)), 80.0),  # one layer that is far off counts alone
        ((dense(10, "lsuv"),), 1.0),  # looks at the data itself
    ],
)
def test_how_far_off_the_first_weights_are(layers, ratio):
    assert spread_off(*laid_out(*layers)) == pytest.approx(ratio, rel=0.01)


def test_a_norm_is_put_before_every_function_that_has_none():
    made, layout = laid_out(
        conv(4),
        act("relu"),
        {"kind": "residual", "shortcut": "projection", "body": [conv(4, padding="same"), act("relu")]},
        conv(4),
        {"kind": "batch_norm"},
        act("relu"),
        dense(10),
    )
    changed = normalization(made, layout).apply(made)
    kinds = [layer.kind_name() for layer in changed.network]
    assert kinds == ["conv2d", "batch_norm", "activation", "residual", "conv2d", "batch_norm", "activation", "dense"]
    assert [layer.kind_name() for layer in changed.network[3].body] == ["conv2d", "batch_norm", "activation"]
    assert not plan(changed).problems


def test_blocks_begin_with_a_norm_where_they_have_none():
    bare = {"kind": "residual", "body": [act("relu"), dense(8)]}
    normed = {"kind": "residual", "body": [{"kind": "batch_norm"}, dense(8)]}
    made, layout = laid_out(dense(8), bare, normed, bare, dense(10))
    changed = normalized_blocks(made, layout).apply(made)
    kinds = [[layer.kind_name() for layer in changed.network[i].body] for i in (1, 2, 3)]
    assert kinds == [
        ["layer_norm", "activation", "dense"],
        ["batch_norm", "dense"],
        ["layer_norm", "activation", "dense"],
    ]
    nothing, bare_plan = laid_out(dense(8), dense(10))
    assert not normalized_blocks(nothing, bare_plan).fits(nothing)


def test_the_learning_rate_is_a_round_number():
    made, _layout = laid_out(dense(10), optimizer={"kind": "sgd", "learning_rate": 0.3})
    proposal = learning_rate(made, 0.1)
    assert proposal.changes == (("training.optimizer.learning_rate", 0.02),)
    assert proposal.text == "Learning rate 0.02 instead of 0.3"
    assert [rounded(v) for v in (1.4, 3.2, 0.07, 8e-7, 0.0)] == [1.0, 5.0, 0.05, 1e-6, 0.0]
