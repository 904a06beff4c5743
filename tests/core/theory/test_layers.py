"""What theory expects of every kind of layer is what wide networks do that are really drawn and run, nested too."""

import math

import numpy as np
import pytest
from experiments import act, conv, dense, table_data

from layerscope.core.experiment import Experiment, build
from layerscope.core.layers.base import Layer
from layerscope.core.network import plan
from layerscope.core.run import Run
from layerscope.core.theory.mean_field import Signal, predict, predictions_for, side_by_side

NORM, LAYER_NORM = {"kind": "batch_norm"}, {"kind": "layer_norm"}


def he(units, **fields):
    return dense(units, "he_normal", **fields)


def he_conv(filters, size=3, **fields):
    return conv(filters, size, init={"kind": "he_normal"}, **fields)


def residual(*body, **fields):
    return {"kind": "residual", "body": list(body), **fields}


def inception(*branches):
    return {"kind": "inception", "branches": [list(b) for b in branches]}


def weight_norm(layer):
    return {"kind": "weight_norm", "layer": layer}


RELU, TANH = act("relu"), act("tanh")
HEAD = [dense(300)]  # in front of the loss: wide, so that its gradient is spread over many numbers

# name: (shape of a sample, layers, how far from the prediction a mean over drawn networks may be)
CASES = {
    "dense, fan in and fan out apart": ((400,), [he(200), RELU, dense(500), TANH, dense(200)], 0.06),
    "flatten": ((5, 5, 16), [{"kind": "flatten"}, he(300), RELU, dense(300)], 0.06),
    "dropout": ((300,), [dense(300), {"kind": "dropout", "rate": 0.4}, dense(300), TANH, dense(300)], 0.08),
    "batch norm": ((300,), [dense(300), NORM, RELU, dense(300), NORM, RELU, dense(300)], 0.08),
    "layer norm": ((300,), [dense(300), LAYER_NORM, RELU, dense(300), LAYER_NORM, TANH, dense(300)], 0.08),
    "layer norm of the data": ((300,), [LAYER_NORM, he(300), RELU, LAYER_NORM, dense(300)], 0.08),
    "weight norm": ((300,), [weight_norm(he(300)), RELU, weight_norm(dense(300)), TANH, dense(300)], 0.06),
    "LSUV": ((300,), [dense(300, "lsuv"), RELU, dense(200, "lsuv"), TANH, weight_norm(dense(300, "lsuv"))], 0.08),
    "residual": ((300,), [dense(300), residual(RELU, he(300)), residual(TANH, dense(300), scale=0.5)], 0.08),
    "residual with projection": ((300,), [dense(300), residual(TANH, dense(200), shortcut="projection"), TANH], 0.08),
    "inception": ((300,), [dense(300), inception([he(200), RELU], [dense(100), TANH], []), dense(300)], 0.08),
    "nested": (
        (300,),
        [
            dense(300),
            residual(LAYER_NORM, inception([residual(TANH, dense(300))], [weight_norm(he(200)), RELU]), dense(300)),
            NORM,
            TANH,
            dense(300),
        ],
        0.1,
    ),
    "convolution, valid": ((9, 9, 24), [he_conv(48), RELU, he_conv(48, 3, stride=2)], 0.12),
    "convolution, same": ((6, 6, 24), [he_conv(48, 3, padding="same"), RELU, conv(48, 5, padding="same")], 0.12),
    "convolution, same with stride": (
        (8, 8, 24),
        [he_conv(48, 3, padding="same"), conv(48, stride=2, padding="same")],
        0.1,
    ),
    "batch norm of images": ((6, 6, 24), [he_conv(48), NORM, RELU, conv(48, 3), NORM, RELU], 0.12),
    "layer norm of images": ((6, 6, 24), [he_conv(48), LAYER_NORM, RELU, conv(48, 3), LAYER_NORM], 0.12),
    "blocks of images": (
        (6, 6, 24),
        [
            he_conv(32),
            residual(RELU, he_conv(32, padding="same")),
            inception([he_conv(16, 1)], [conv(32, padding="same")]),
        ],
        0.12,
    ),
}

# Kinds about which the theory says that it does not know: how alike the pixels of a window are, it does not follow.
# On the way back some are known nevertheless: by what they multiply the mean square of the gradient, for 8 x 8 pixels.
WITHOUT_A_RULE = {"max_pool": math.nan, "average_pool": 1 / 16, "global_average_pool": 1 / 64**2}


def measured(shape, layers, seed):
    """(predictions, rms, gradient norm relative to the last layer) of one drawn network, layers in data order."""
    draw = np.random.default_rng(100 + seed)
    data = table_data(draw.normal(size=(64, *shape)), np.arange(64) % 300, 300)
    experiment = build(Experiment, {"network": [*layers, *HEAD], "seed": seed, "training": {"batch_size": 64}})
    run = Run(experiment, data)
    line, _detail = run.look()
    view = run.record.view(0, line)
    norms = view.at("gradient.norm", 0)
    layout = plan(experiment, data.outline)
    predictions = predictions_for(layout, data)
    assert [p.path for p in predictions] == [card.path for card in layout.cards]
    return predictions, view.at("activation.rms", 0), norms / norms[-1]


@pytest.mark.parametrize("name", CASES)
def test_drawn_networks_do_as_predicted(name):
    shape, layers, tolerance = CASES[name]
    found = [measured(shape, layers, seed) for seed in range(6)]
    # LSUV aside the prediction is the same for all; data differ a little
    rms = np.array([[p.rms for p in predictions] for predictions, _, _ in found])
    norms = np.array([[p.gradient_norm for p in predictions] for predictions, _, _ in found])
    off = np.mean([np.log(r) for _, r, _ in found], axis=0) - np.log(rms).mean(axis=0)
    assert np.abs(off).max() < tolerance, off
    off = np.mean([np.log(g) for _, _, g in found], axis=0) - np.log(norms).mean(axis=0)
    assert np.abs(off).max() < tolerance, off


def kinds_in(layers):
    for layer in layers:
        yield layer["kind"]
        yield from kinds_in(layer.get("body", ()))
        yield from kinds_in([layer["layer"]] if "layer" in layer else ())
        for branch in layer.get("branches", ()):
            yield from kinds_in(branch)


def test_every_kind_has_a_rule_or_says_that_it_has_none():
    seen = {kind for _shape, layers, _tolerance in CASES.values() for kind in kinds_in(layers)}
    assert seen | set(WITHOUT_A_RULE) == set(Layer.registry.names())
    for name, back in WITHOUT_A_RULE.items():
        layout = plan(build(Experiment, {"network": [{"kind": name}, {"kind": "flatten"}]}))
        pooled, behind = predict(layout, 1.0)
        assert math.isnan(pooled.rms)
        assert "alike" in pooled.why
        assert behind.why == pooled.why  # what comes behind is not known for the same reason
        numbers = math.prod(layout.cards[0].given) / math.prod(layout.cards[0].shape)
        assert pooled.gradient_factor == pytest.approx(math.sqrt(back * numbers), nan_ok=True)


def test_theory_is_silent_about_weights_that_are_all_alike():
    for layer in (dense(4, "constant"), conv(2, init={"kind": "constant"})):
        experiment = build(Experiment, {"network": [layer]})
        with pytest.raises(NotImplementedError):
            experiment.network[0].mean_field(Signal.of_data(64, 1.0), (8, 8, 1))


def test_equal_branches_side_by_side_are_as_one_of_them():
    one = Signal.of_data(100, 2.0, 0.3).through_weights(100, 50, 0.1)
    both = side_by_side([one, one])
    assert (both.width, both.mean, both.second_moment, both.shared) == (100, one.mean, one.second_moment, one.shared)
    assert (both.law.variance, both.law.functions) == (one.law.variance, one.law.functions)
    assert both.log_variance == pytest.approx(one.log_variance / 2)
    other = Signal.of_data(100, 2.0, 0.3)
    mixed = side_by_side([one, other])
    assert mixed.width == 150
    assert mixed.second_moment == pytest.approx((50 * one.second_moment + 100 * 2.0) / 150)
    assert mixed.mean == pytest.approx((50 * one.mean + 100 * 0.3) / 150)
    assert math.isnan(side_by_side([one, Signal.unknown(3)]).rms)
