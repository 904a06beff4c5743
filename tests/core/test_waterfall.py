"""The gains of all operations add up to what was measured, for every kind of layer, and zeros hide nothing."""

import math

import numpy as np
import pytest
from experiments import act, conv, dense, experiment

from layerscope.core.diagnostics.waterfall import falls
from layerscope.core.figures.figure import FIGURES
from layerscope.core.figures.scene import scene_of
from layerscope.core.figures.waterfall import PARTS
from layerscope.core.layers.base import GROUPS, Layer
from layerscope.core.run import Run

NETWORKS = {
    "deep": [part for _ in range(20) for part in (dense(16), act("sigmoid"))],
    "images": [
        conv(4),
        {"kind": "batch_norm"},
        act("relu"),
        {"kind": "residual", "body": [conv(4, padding="same"), act("tanh")]},
        {"kind": "inception", "branches": [[conv(2, 1)], [conv(2, 3, padding="same")]]},
        {"kind": "max_pool"},
        {"kind": "flatten"},
        {"kind": "dropout", "rate": 0.3},
        {"kind": "weight_norm", "layer": dense(8)},
        {"kind": "layer_norm"},
        act("gelu"),
    ],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gains_add_up_to_what_was_measured_at_every_step(name):
    run = Run(experiment(*NETWORKS[name], dense(10)))
    run.advance(20)
    view = run.record.view()
    for step in range(20):
        rms = view.at("gradient.rms", step)
        way = falls(run.program.plan, view.layers, rms)
        main = [i for i, path in enumerate(view.layers) if "." not in path]
        measured = math.log10(rms[main[0]] / rms[main[-1]])
        assert way.total == pytest.approx(measured, abs=1e-9)
        assert np.nansum(way.gains) == pytest.approx(measured, abs=1e-9)
        assert sum(way.by_group().values()) == pytest.approx(measured, abs=1e-9)
        assert np.isnan(way.gains[0])
        assert np.isfinite(way.gains[1:]).all()


def test_the_slope_of_the_sigmoids_is_who_makes_the_gradient_vanish():
    run = Run(experiment(*NETWORKS["deep"], dense(10)))
    run.advance(1)
    view = run.record.view()
    parts = falls(run.program.plan, view.layers, view.at("gradient.rms", 0)).by_group()
    # sigmoid's slope is at most a quarter: at least log10 4 = 0.6 a layer are lost to it
    assert parts["function"] < -0.6 * 19
    assert abs(parts["weights"]) < 2.0


def test_a_gradient_that_is_exactly_zero_is_told_and_nothing_is_made_up():
    run = Run(experiment(dense(6), act("relu"), dense(6, "zeros"), act("tanh"), dense(10)))
    run.advance(1)
    scene = scene_of([("A", "", run)], 0)
    view = scene.lanes[0].view
    way = falls(run.program.plan, view.layers, view.at("gradient.rms", 0))
    assert np.isneginf(way.levels[:2]).all()
    assert np.isnan(way.gains[1:3]).all()
    kind = FIGURES["waterfall"]
    assert "exactly 0" in kind.explain(scene, kind.options()).yours
    notes = [mark.text for mark in kind.build(scene, kind.options()).plots[0].marks if hasattr(mark, "text")]
    assert any("exactly 0 behind layer 1–2" in text for text in notes), notes


def test_every_group_of_layers_has_a_name_and_a_color():
    assert set(PARTS) == set(GROUPS) == {kind.group for kind in Layer.registry}
