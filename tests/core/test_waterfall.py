"""The gains of all operations add up to what stands in memory, for every kind of layer, in blocks in blocks, and zeros
hide nothing.
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from experiments import act, conv, dense, experiment

from layerscope.core.diagnostics.probes import LAYER_COLUMNS, SHARE_COLUMNS
from layerscope.core.diagnostics.waterfall import falls, part_of
from layerscope.core.experiment import load
from layerscope.core.layers.base import Layer
from layerscope.core.run import Run

SAMPLES = sorted((Path(__file__).parents[2] / "sample_data").rglob("*.json"))


def residual(*body, **fields):
    return {"kind": "residual", "body": list(body), **fields}


def inception(*branches):
    return {"kind": "inception", "branches": [list(branch) for branch in branches]}


def same(filters, size=3):
    return conv(filters, size, padding="same")


NORM = {"kind": "batch_norm"}
NETWORKS = {
    "deep": [part for _ in range(20) for part in (dense(16), act("sigmoid"))],
    "identity": [dense(16), act("tanh"), residual(dense(16), act("relu"), dense(16)), act("tanh")],
    "branch scale": [dense(16), residual(dense(16), act("gelu"), scale=0.1), residual(dense(16), scale=-2.0)],
    "projection": [conv(4), act("relu"), residual(conv(8, 3, stride=2, padding="same"), NORM, shortcut="projection")],
    "projection alone": [dense(12), residual(shortcut="projection"), dense(6)],
    "empty body": [dense(12), residual(), act("tanh")],
    "block first": [
        residual(same(3), act("tanh"), same(1)),
        residual(dense(8), act("tanh"), dense(8), shortcut="projection"),
    ],
    "blocks in the beginning of blocks": [
        dense(12),
        residual(residual(residual(dense(12), act("tanh")), dense(12), scale=0.5), act("relu"), dense(12)),
        residual(dense(12)),
    ],
    "branches": [conv(4), inception([same(2, 1)], [same(3, 1), act("relu"), same(2)], [])],
    "branches first": [inception([dense(8), act("tanh")], [dense(8)]), dense(8)],
    "one branch": [conv(4), inception([same(3), act("relu")]), {"kind": "average_pool"}],
    "branches of blocks": [
        conv(4),
        inception(
            [residual(same(4), act("tanh")), {"kind": "max_pool"}],
            [inception([same(2, 1)], [same(2), NORM]), act("relu"), {"kind": "average_pool"}],
            [{"kind": "max_pool"}],
        ),
        residual(inception([same(4)], [same(4)]), same(12), scale=0.3),
    ],
    "images": [
        conv(4),
        NORM,
        act("relu"),
        residual(same(4), act("tanh")),
        inception([conv(2, 1)], [same(2)]),
        {"kind": "max_pool"},
        {"kind": "flatten"},
        {"kind": "dropout", "rate": 0.3},
        {"kind": "weight_norm", "layer": dense(8)},
        {"kind": "layer_norm"},
        act("gelu"),
    ],
}
HALF = {"precision": "float16", "loss_scale": {"kind": "dynamic"}}


def way_of(run, step):
    view = run.record.view()
    shares = view.at("input_gradient.rms", step) if "input_gradient.rms" in view.layer_columns else None
    return falls(run.program.plan, view.layers, view.at("gradient.rms", step), shares)


def in_memory(run):
    """path -> rms of the gradient of its output, in the arena as the last step left it (times the loss's scale)."""
    found = {}
    for layer in run.program.layers:
        values = run.machine.arena[layer.wire.gradient :][: run.machine.rows * layer.wire.width].astype(np.float64)
        found[layer.path] = float(np.sqrt(np.mean(values * values)))
    return found


def check(run, steps=20):
    """Every step's parts against what stands in memory behind that step."""
    checked = 0
    for step in range(steps):
        if run.finished:
            break
        run.advance(1)
        with np.errstate(over="ignore", invalid="ignore"):
            sizes = in_memory(run)
        way = way_of(run, step)
        main = [path for path in sizes if "." not in path]
        first, last = way.steps[0].path, main[-1]
        assert first == main[0] or first.startswith(f"{main[0]}.")
        if not (0.0 < sizes[first] < math.inf and 0.0 < sizes[last] < math.inf):
            assert not math.isfinite(way.total)
            continue
        assert np.isnan(way.gains[0])
        assert np.isfinite(way.gains[1:]).all()
        measured = math.log10(sizes[first] / sizes[last])
        assert way.total == pytest.approx(measured, abs=1e-6)
        assert np.nansum(way.gains) == pytest.approx(measured, abs=1e-6)
        assert sum(way.by_group().values()) == pytest.approx(measured, abs=1e-6)
        # every layer of the main line by itself, a block with all that is inside of it
        for before, path in itertools.pairwise(main):
            inside = [
                gain
                for own, gain in zip(way.steps, way.gains, strict=True)
                if own.path == path or own.path.startswith(f"{path}.")
            ]
            assert sum(inside) == pytest.approx(math.log10(sizes[before] / sizes[path]), abs=1e-6)
        # what one step hands on is what the next one takes up
        np.testing.assert_allclose(way.levels[1:] + way.gains[1:], way.levels[:-1], atol=1e-9)
        checked += 1
    return checked


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gains_add_up_to_what_stands_in_memory_at_every_step(name):
    assert check(Run(experiment(*NETWORKS[name], dense(10)))) == 20


@pytest.mark.parametrize("name", ["deep", "branches of blocks", "blocks in the beginning of blocks"])
def test_so_they_do_with_numbers_of_16_bits_and_a_scaled_loss(name):
    network = NETWORKS[name] if name != "deep" else NETWORKS[name][:12]
    assert check(Run(experiment(*network, dense(10), **HALF))) == 20


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_so_they_do_for_every_experiment_that_comes_with_the_program(path):
    run = Run(load(path), folder=path.parent)
    assert check(run) > 0 or not math.isfinite(way_of(run, 0).total)


def test_every_layer_inside_of_a_block_is_a_step_with_its_own_gain():
    run = Run(experiment(*NETWORKS["identity"], dense(10), precision="float64"))
    run.advance(1)
    sizes, way = in_memory(run), way_of(run, 0)
    gains = {(step.path, step.place): float(gain) for step, gain in zip(way.steps, way.gains, strict=True)}
    assert [step.path for step in way.steps] == ["0", "1", "2", "2.body.0", "2.body.1", "2.body.2", "3", "4"]
    assert gains["2.body.2", "layer"] == pytest.approx(math.log10(sizes["2.body.1"] / sizes["2.body.2"]))
    # y = x + F(x): what came back through F is dL/dx without dL/dy
    wires = {layer.path: layer.wire for layer in run.program.layers}
    count = run.machine.rows * 16
    dx, dy = (run.machine.arena[wires[path].gradient :][:count] for path in ("1", "2"))
    through = float(np.sqrt(np.mean((dx - dy) ** 2)))
    assert gains["2.body.0", "layer"] == pytest.approx(math.log10(through / sizes["2.body.0"]), abs=1e-9)
    assert gains["2", "join"] == pytest.approx(math.log10(sizes["1"] / through), abs=1e-9)
    assert way.by_group()["skip"] == gains["2", "join"]


def test_a_branch_scale_is_a_step_of_its_own_and_the_skips():
    run = Run(experiment(dense(16), residual(dense(16), act("tanh"), scale=0.1), dense(10)))
    run.advance(1)
    way = way_of(run, 0)
    split = next(i for i, step in enumerate(way.steps) if step.place == "split")
    assert way.gains[split] == pytest.approx(-1.0, abs=1e-6)
    assert way.steps[split].part == "skip"
    assert way.steps[split].paths == ("1.body.0", "1.body.1")


def test_the_way_goes_through_the_branch_that_carries_most():
    strong, weak = dense(8, "glorot_normal"), dense(8, "glorot_normal")
    weak["init"] = {"kind": "glorot_normal", "gain": 1e-4}
    for branches, carries in (([strong], [weak]), 0), (([weak], [strong]), 1):
        run = Run(experiment(dense(16), inception(*branches), dense(10)))
        run.advance(1)
        way = way_of(run, 0)
        assert f"1.branches.{carries}.0" in way.paths
        assert f"1.branches.{1 - carries}.0" not in way.paths
        # two independent halves: the rms of the half is that of the whole, and the other branch adds nothing
        assert abs(way.by_group()["branches"]) < 0.2


def test_the_slope_of_the_sigmoids_is_who_makes_the_gradient_vanish():
    run = Run(experiment(*NETWORKS["deep"], dense(10)))
    run.advance(1)
    parts = way_of(run, 0).by_group()
    # sigmoid's slope is at most a quarter: at least log10 4 = 0.6 a layer are lost to it
    assert parts["function"] < -0.6 * 19
    assert abs(parts["weights"]) < 2.0
    assert set(parts) == {"function", "weights"}


def test_a_gradient_that_is_exactly_zero_is_told_and_nothing_is_made_up():
    run = Run(experiment(dense(6), act("relu"), dense(6, "zeros"), act("tanh"), dense(10)))
    run.advance(1)
    way = way_of(run, 0)
    assert np.isneginf(way.levels[:2]).all()
    assert np.isnan(way.gains[1:3]).all()
    assert way.total == -math.inf
    assert way.steps[way.killer].path == "2"
    assert way.breaker == -1
    assert sum(way.by_group().values()) == pytest.approx(way.levels[2])


def test_a_body_that_hands_back_nothing_makes_its_block_one_step():
    run = Run(experiment(dense(6), residual(dense(6, "zeros"), act("tanh")), act("tanh"), dense(10)))
    run.advance(1)
    way = way_of(run, 0)
    assert way.paths == ("0", "1", "2", "3")
    assert way.steps[1].place == "block"
    assert way.gains[1] == pytest.approx(0.0, abs=1e-7)  # the skip hands on all there is
    run.advance(1)
    assert len(way_of(run, 1)) == 6  # the weights are no longer zero


def test_nothing_from_the_loss_is_zero_everywhere_and_a_strange_number_is_told_where_it_comes_from():
    run = Run(experiment(dense(6), act("tanh"), dense(10)))
    run.advance(1)
    plan, layers = run.program.plan, run.record.view().layers
    way = falls(plan, layers, np.zeros(3))
    assert np.isneginf(way.levels).all()
    assert (way.killer, way.breaker) == (-1, -1)
    assert way.by_group() == {}
    way = falls(plan, layers, np.array([math.inf, 1.0, 10.0]))
    assert (way.killer, way.breaker) == (-1, 1)
    assert math.isnan(way.total)
    np.testing.assert_allclose(way.gains, [math.nan, math.nan, -1.0])
    way = falls(plan, layers, np.full(3, math.nan))
    assert np.isnan(way.levels).all()
    assert way.breaker == -1


def test_where_more_ways_begin_than_are_measured_a_block_is_one_step():
    many = inception(*[[dense(1)] for _ in range(13)])
    run = Run(experiment(dense(13), residual(many, act("tanh")), residual(dense(13)), dense(10)))
    assert check(run, 3) == 3
    way = way_of(run, 2)
    assert [step.path for step in way.steps if step.path.startswith("1")] == ["1"]
    assert "2.body.0" in way.paths


def test_a_record_from_before_has_blocks_of_one_step():
    run = Run(experiment(*NETWORKS["branches of blocks"], dense(10)))
    run.advance(1)
    view = run.record.view()
    way = falls(run.program.plan, view.layers, view.at("gradient.rms", 0))
    assert way.paths == ("0", "1", "2", "3")
    assert way.parts == ("weights", "branches", "skip", "weights")
    assert sum(way.by_group().values()) == pytest.approx(way.total)


def test_only_networks_with_blocks_have_the_column():
    assert Run(experiment(dense(10))).program.layer_columns == LAYER_COLUMNS
    made = Run(experiment(residual(dense(64), shortcut="projection"), dense(10))).program
    assert made.layer_columns == LAYER_COLUMNS + SHARE_COLUMNS
    assert not any(kernel.__name__ == "measure_share" for kernel in made.kernels)  # the input is the data


def test_measuring_shares_changes_no_number():
    made = experiment(*NETWORKS["branches of blocks"], dense(10))
    runs = [Run(made, record=record) for record in (True, False)]
    for run, measures in zip(runs, (True, False), strict=True):
        assert measures == ("measure_share" in [kernel.__name__ for kernel in run.program.kernels])
        run.advance(3)
    for measured, plain in zip(*(run.parameters().values() for run in runs), strict=True):
        np.testing.assert_array_equal(measured, plain)


def test_every_layer_has_a_part():
    run = Run(experiment(*NETWORKS["images"], dense(10)))
    parts = {card.path: part_of(card.layer) for card in run.program.plan.cards}
    assert parts["2"] == "function"
    assert parts["3"] == "skip"
    assert parts["4"] == "branches"
    assert [parts[str(i)] for i in range(5, 10)] == ["pooling", "shape", "dropout", "weights", "normalization"]
    assert {kind.group for kind in Layer.registry} >= {"block", "weights"}
