"""The map of the edge of chaos: where networks stand on it, when they do not, and what is said about them."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from experiments import act, conv, dense, table_data
from scenes import Lanes

from layerscope.core.activations import ACTIVATIONS
from layerscope.core.experiment import Experiment, build
from layerscope.core.figures.figure import FIGURES, Heatmap, Line, Note, Rule, Scene
from layerscope.core.figures.scene import scene_of
from layerscope.core.network import plan
from layerscope.core.run import Run
from layerscope.core.theory.criticality import chain_of, present_weights, scales_at
from layerscope.core.theory.mean_field import depth_scales

KIND = FIGURES["edge-of-chaos"]
LECUN = {"kind": "lecun_normal", "gain": 1.6}


def laid_out(*layers):
    return plan(build(Experiment, {"network": list(layers)}))


def run_of(*layers, steps=0, **training):
    experiment = build(Experiment, {"network": list(layers), "training": {"batch_size": 32, **training}})
    x = np.random.default_rng(0).normal(size=(96, 20))
    run = Run(experiment, table_data(x, np.arange(96) % 4, 4))
    run.advance(steps)
    return run


def deep(function="tanh", depth=5, units=30, init=None, biases=0.0, last=4):
    layer = {"kind": "dense", "units": units, "init": init or LECUN, "bias_std": biases}
    return [*[part for _ in range(depth) for part in (layer, act(function))], dense(last)]


def made(shown, **options):
    return KIND.build(shown, KIND.options(**options))


def points(figure, label):
    return [m for m in figure.plots[0].marks if isinstance(m, Line) and m.label == label]


# --- where a network stands


def test_equal_layers_are_one_group_without_the_first_and_the_last():
    chain = chain_of(laid_out(*deep(depth=4, biases=0.2)))
    (at,) = chain.standings
    assert at.paths == ("2", "4", "6")
    assert (at.function, chain.depth, chain.obstacle) == ("tanh", 4, "")
    assert (at.weights, at.biases) == pytest.approx((1.6**2, 0.04))


def test_layers_that_differ_are_groups_of_their_own():
    layers = [dense(30), act("tanh"), dense(30), act("tanh"), dense(15), act("tanh"), dense(4)]
    narrow, equal = sorted(chain_of(laid_out(*layers)).standings, key=lambda s: -s.weights)
    # Glorot: n Var(W) = 2 n / (n + m)
    assert (equal.weights, narrow.weights) == pytest.approx((1.0, 60 / 45))


def test_convolutions_wrappers_and_fitted_weights_stand_on_the_map_too():
    wrapped = {"kind": "weight_norm", "layer": conv(16, padding="same", init={"kind": "he_normal"})}
    fitted = conv(16, padding="same", init={"kind": "lsuv"})
    chain = chain_of(
        laid_out(conv(16), act("relu"), wrapped, act("relu"), fitted, act("relu"), {"kind": "flatten"}, dense(10))
    )
    assert chain.obstacle == ""
    (at,) = chain.standings  # LSUV makes the mean square 1 where ReLU leaves one half: the same as He
    assert len(at.paths) == 2
    assert at.weights == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([dense(8), {"kind": "batch_norm"}, act("relu"), dense(8), act("relu")], "Batch norm"),
        ([dense(8), act("relu"), {"kind": "dropout"}, dense(8), act("relu")], "Dropout"),
        ([dense(8), {"kind": "residual", "body": [act("relu"), dense(8)]}, act("relu")], "Residual"),
        ([dense(8), act("relu"), dense(8, "constant"), act("relu")], "one number"),
        ([dense(8), act("relu"), act("tanh"), dense(8), act("relu")], "follows no weights"),
        ([dense(8), act("relu")], "fewer than two"),
        ([], "fewer than two"),
    ],
)
def test_networks_that_are_no_chain_say_why(layers, words):
    shown = plan(build(Experiment, {"network": [*layers, dense(10)]}))
    assert words in chain_of(shown).obstacle


def test_present_weights_are_those_of_the_norm():
    shown = laid_out(*deep(depth=3))
    std = 1.6 / math.sqrt(30)
    assert present_weights(shown, "2", std * 30) == pytest.approx(1.6**2)  # norm of 30 x 30 such weights
    wrapped = laid_out({"kind": "weight_norm", "layer": dense(20)}, act("tanh"), dense(10))
    assert present_weights(wrapped, "0", 3.0) == pytest.approx(64 * 9.0 / (64 * 20))


# --- the figure


def test_the_mark_stands_at_the_variances_and_moves_with_the_weights():
    run = run_of(*deep(biases=0.2), steps=40, optimizer={"kind": "sgd", "learning_rate": 1.0})
    figure = made(scene_of([("A", "", run)]))
    (drawn,) = points(figure, "as drawn")
    assert (drawn.x[0], drawn.y[0]) == pytest.approx((1.6**2, 0.04))
    (now,) = points(figure, "now")
    weights = [run.parameters()[f"{path}.weight"] for path in (2, 4, 6, 8)]
    assert now.x[0] == pytest.approx(np.mean([30 * np.mean(w * w) for w in weights]), rel=1e-3)
    assert now.x[0] != pytest.approx(drawn.x[0], rel=1e-3)
    (way,) = points(figure, "way of the training")
    assert way.x[-1] == now.x[0]
    assert way.x[0] == pytest.approx(1.6**2, rel=0.1)  # 900 draws
    assert not points(made(scene_of([("A", "", run)]), trail=False), "now")


def test_the_depth_of_the_network_is_a_rule_under_the_curve_of_trainable_depth():
    figure = made(scene_of([("A", "", run_of(*deep(depth=6, biases=0.2)))]))
    across = [m for m in figure.plots[1].marks if isinstance(m, Rule) and m.across == "y"]
    assert [m.at for m in across] == [6.0]
    curve = next(m for m in figure.plots[1].marks if isinstance(m, Line) and m.label.startswith("6"))
    exact, _chi = scales_at("tanh", 0.0, 1.6**2, 0.04)
    assert np.interp(1.6**2, curve.x, curve.y) == pytest.approx(exact.trainable, rel=0.05)


def test_what_is_said_has_the_exact_depth_scales():
    shown = scene_of([("A", "", run_of(*deep(init={"kind": "lecun_normal", "gain": math.sqrt(2)}, biases=0.05**0.5)))])
    said = KIND.explain(shown, KIND.options()).yours
    # tanh at (2, 0.05): xi_q 1.388, xi_c 25.21
    for words in ("chaotic", "×1.02", "1.39", "25.2", "151", "it should train"):
        assert words in said
    relu = scene_of([("A", "", run_of(*deep("relu", init={"kind": "he_normal"})))])
    assert "at the edge" in KIND.explain(relu, KIND.options()).yours
    dying = scene_of([("A", "", run_of(*deep("relu", init={"kind": "lecun_normal"})))])
    assert "dies out" in KIND.explain(dying, KIND.options()).yours
    exploding = scene_of([("A", "", run_of(*deep("relu", init={"kind": "he_normal", "gain": 1.5})))])
    assert "without end" in KIND.explain(exploding, KIND.options()).yours


def test_a_lane_with_another_function_is_said_to_have_another_map():
    lanes = [("A", "", run_of(*deep("tanh"))), ("B", "", run_of(*deep("relu", depth=3)))]
    shown = scene_of(lanes)
    notes = [m.text for m in made(shown).plots[0].marks if isinstance(m, Note)]
    assert "B: has the map of ReLU" in notes
    other = made(shown, function="relu")
    assert "ReLU" in other.subtitle
    assert "A: has the map of Tanh" in [m.text for m in other.plots[0].marks if isinstance(m, Note)]
    assert list(other.table["lane"]) == ["B"]


def test_a_network_that_is_no_chain_has_no_point():
    run = run_of(dense(8), {"kind": "batch_norm"}, act("relu"), dense(8), act("relu"), dense(4))
    figure = made(scene_of([("A", "", run)]))
    assert any("Batch norm" in m.text for m in figure.plots[0].marks if isinstance(m, Note))
    assert not points(figure, "as drawn")
    assert not [m for m in figure.plots[1].marks if isinstance(m, Rule)]
    alone = made(scene_of([("A", "", run_of(dense(4)))]))
    assert "fewer than two" in alone.empty


def test_the_map_grows_until_all_networks_stand_in_it():
    figure = made(scene_of([("A", "", run_of(*deep(init={"kind": "normal", "std": 1.0}, biases=1.0)))]))
    x, y = figure.plots[0].x.limits, figure.plots[0].y.limits
    assert x is not None
    assert y is not None
    assert 30.0 < x[1] <= 64.0
    assert 1.0 < y[1] <= 2.4


@pytest.mark.parametrize("shade", ["depth", "factor"])
def test_colors_are_what_the_subtitle_says(shade):
    figure = made(Scene((Lanes().lane(),), 39), shade=shade)
    (shades,) = [m for m in figure.plots[0].marks if isinstance(m, Heatmap)]
    assert shades.label in figure.subtitle
    across = 0.5 * (shades.x_edges[1:] + shades.x_edges[:-1])
    column = int(np.searchsorted(across, 3.0))
    exact = depth_scales(ACTIVATIONS["tanh"], 0.0, across[column], 0.5 * float(shades.y_edges[:2].sum()))
    wanted = abs(exact.gradient) if shade == "depth" else math.exp(-0.5 / exact.gradient)
    assert shades.values[0, column] == pytest.approx(wanted, rel=0.01)


def test_building_is_cheap():
    shown = Scene(tuple(Lanes().lane(depth=20, name=name) for name in "ABCD"), 39)
    made(shown)  # the map is made once
    times = []
    for _ in range(20):
        start = time.perf_counter()
        made(shown)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02


def test_weights_that_are_not_numbers_leave_the_start():
    lane = Lanes().lane()
    block = lane.view.block.copy()
    block[5:] = np.nan
    lane = replace(lane, view=replace(lane.view, block=block, low=block, high=block))
    figure = made(Scene((lane,), 39))
    assert points(figure, "as drawn")
    assert not points(figure, "now")
