"""What the probes report is what NumPy computes from the same values, in both precisions, with and without strange
numbers.
"""

import numpy as np
import pytest
from experiments import act, dense, experiment, table_data

from layerscope.core.activations import ACTIVATIONS
from layerscope.core.diagnostics.probes import ACTIVATION_COLUMNS, GRADIENT_COLUMNS, LAYER_COLUMNS
from layerscope.core.record import PERCENTILES, RecordView
from layerscope.core.run import Run


def expected_activation(a, low, high):
    a = a.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        return {
            "min": a.min(),
            "max": a.max(),
            "mean": a.mean(),
            "std": a.std(),
            "rms": np.sqrt(np.mean(a * a)),
            "zero_fraction": np.mean(a == 0),
            "saturated_fraction": np.mean((a <= low) | (a >= high)),
            "nonfinite_fraction": np.mean(~np.isfinite(a)),
        }


def layer_values(run, layer):
    rows = run.machine.rows
    a = run.machine.arena[layer.wire.at : layer.wire.at + rows * layer.wire.width]
    g = run.machine.arena[layer.wire.gradient : layer.wire.gradient + rows * layer.wire.width]
    return a, g


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("function", ACTIVATIONS.names())
def test_every_column_is_what_numpy_says(function, precision):
    run = Run(experiment(dense(9, "normal"), act(function), dense(10), precision=precision, batch_size=13))
    line, detail = run.look()
    view = run.record.view(0, line)
    for index, layer in enumerate(run.program.layers):
        a, g = layer_values(run, layer)
        low, high = run.program.plan.cards[index].layer.saturation()
        dtype = a.dtype.type
        for name, value in expected_activation(a, dtype(low), dtype(high)).items():
            assert view.at(f"activation.{name}", 0)[index] == pytest.approx(value, rel=1e-9, abs=1e-14), name
        g = g.astype(np.float64)
        expected = {"rms": np.sqrt(np.mean(g * g)), "norm": np.linalg.norm(g), "min": g.min(), "max": g.max()}
        for name, value in {**expected, "zero_fraction": np.mean(g == 0)}.items():
            assert view.at(f"gradient.{name}", 0)[index] == pytest.approx(value, rel=1e-9), name
        np.testing.assert_allclose(
            detail.percentiles[:, index], np.percentile(a.astype(np.float64), PERCENTILES), rtol=1e-6
        )
    squares = sum(float(np.sum(run.gradient(t).astype(np.float64) ** 2)) for t in run.program.tensors)
    assert view.at("gradient_norm", 0) == pytest.approx(np.sqrt(squares), rel=1e-9)
    weight = next(t for t in run.program.tensors if t.name == "0.weight")
    assert view.at("weight_gradient.norm", 0)[0] == pytest.approx(
        np.linalg.norm(run.gradient(weight).astype(float)), rel=1e-6
    )
    assert view.at("weight.norm", 0)[0] == pytest.approx(np.linalg.norm(run.parameter(weight).astype(float)), rel=1e-6)
    assert np.isnan(view.at("update_ratio", 0)[1])


def test_update_ratio_is_the_size_of_the_step_by_the_size_of_the_weights():
    run = Run(experiment(dense(9), act("tanh"), dense(10), precision="float64"))
    before = run.parameters()["0.weight"]
    run.advance(1)
    after = run.parameters()["0.weight"]
    view: RecordView = run.record.view()
    assert view.at("update_ratio", 0)[0] == pytest.approx(
        np.linalg.norm(after - before) / np.linalg.norm(before), rel=1e-9
    )


def test_hardly_different_values_keep_their_spread():
    # mean 1000, std 1e-3 in float32: the difference of two sums of squares would be nothing but rounding
    x = (1000 + 2e-3 * np.random.default_rng(1).normal(size=(50, 20))).astype(np.float32)
    run = Run(
        experiment(act("identity"), dense(2), batch_size=50, shuffle=False),
        table_data(x.astype(float), np.arange(50) % 2, 2),
    )
    line, _ = run.look()
    assert run.record.view(0, line).at("activation.std", 0)[0] == pytest.approx(x.astype(np.float64).std(), rel=1e-6)


def test_gradients_too_small_to_square_in_single_precision_are_measured():
    layers = [part for _ in range(30) for part in (dense(16), act("sigmoid"))]
    run = Run(experiment(*layers, dense(10)))
    line, _ = run.look()
    norms = run.record.view(0, line).at("gradient.norm", 0)
    assert 0 < norms[1] < 1e-19


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 7, 199])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_strange_numbers_are_reported(value, place, precision):
    x = np.random.default_rng(2).normal(size=(10, 20))
    x.reshape(-1)[place] = value
    run = Run(
        experiment(act("identity"), dense(2), batch_size=10, shuffle=False, precision=precision),
        table_data(x, np.arange(10) % 2, 2),
    )
    line, _ = run.look()
    view = run.record.view(0, line)
    assert view.at("activation.nonfinite_fraction", 0)[0] == pytest.approx(1 / 200)
    least, most = view.at("activation.min", 0)[0], view.at("activation.max", 0)[0]
    if np.isnan(value):
        assert np.isnan(least)
        assert np.isnan(most)
    else:
        assert (most if value > 0 else least) == value
        assert np.isfinite(least if value > 0 else most)


def test_columns_are_those_of_the_record():
    assert LAYER_COLUMNS[: len(ACTIVATION_COLUMNS)] == ACTIVATION_COLUMNS
    assert LAYER_COLUMNS[len(ACTIVATION_COLUMNS) :][: len(GRADIENT_COLUMNS)] == GRADIENT_COLUMNS
