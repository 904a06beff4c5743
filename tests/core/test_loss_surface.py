"""The loss as a function of the weights: its slope, its curvature and its noise against numbers computed otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from experiments import act, conv, dense, experiment

from layerscope.core.experiment import Experiment, build
from layerscope.core.loss_surface import (
    LossSurface,
    largest_eigenvalue,
    learning_rates,
    live_at,
    places_of,
    surface_of,
)
from layerscope.core.run import Run
from layerscope.core.studies.base import answer
from layerscope.core.studies.gradient_noise import GradientNoiseStudy, estimate
from layerscope.core.studies.landscape import LandscapeStudy
from layerscope.core.studies.sharpness import SharpnessStudy

NORM = {"kind": "batch_norm"}
DROPOUT = {"kind": "dropout", "rate": 0.4}
SGD = {"kind": "sgd", "learning_rate": 0.1}


def toy(*layers, data="circles", loss="softmax_cross_entropy", samples=80, **training):
    return build(
        Experiment,
        {
            "data": {"kind": data, "samples": samples},
            "network": list(layers),
            "loss": {"kind": loss},
            "training": {"batch_size": 16, "optimizer": SGD, **training},
        },
    )


LOSSES = {
    "softmax_cross_entropy": toy(dense(5), act("tanh"), dense(2)),
    "binary_cross_entropy": toy(dense(5), act("tanh"), dense(1), act("sigmoid"), loss="binary_cross_entropy"),
    "mse": toy(dense(5), act("tanh"), dense(1), data="regression", loss="mse"),
    "huber": toy(dense(5), act("tanh"), dense(1), data="regression", loss="huber"),
    "conv": experiment(conv(3), act("relu"), {"kind": "flatten"}, dense(10)),
    "float64": toy(dense(5), act("tanh"), dense(2), precision="float64"),
    "residual": toy(dense(4), {"kind": "residual", "body": [dense(4), act("tanh")]}, dense(2)),
}


def run_of(made, steps=0):
    run = Run(made)
    run.advance(steps)
    return run


def present(run):
    return places_of(run, 1)[-1].weights


def trained(surface):
    """The numbers of all weights that training changes."""
    found = np.zeros(surface.program.parameter_count, dtype=bool)
    for tensor in surface.tensors:
        found[tensor.master : tensor.master + tensor.parameter.count] = True
    return np.flatnonzero(found)


def hessian(surface, weights, step=1e-5):
    """The whole Hessian (n, n) over what is trained, by central differences of the gradient, a column at a time."""
    places = trained(surface)
    found = np.empty((len(places), len(places)))
    for column, place in enumerate(places):
        unit = np.zeros_like(weights)
        unit[place] = step
        above, below = (surface.gradient(weights + sign * unit)[1][places] for sign in (1.0, -1.0))
        found[:, column] = (above - below) / (2.0 * step)
    return 0.5 * (found + found.T)


# --- the function


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_that_of_the_evaluated_network(name):
    run = run_of(LOSSES[name], 7)
    everything = len(run.data.x_train)
    surface = LossSurface(run, min(everything, 4096))
    assert surface.samples == everything
    expected, _accuracy = run.evaluate(run.data.x_train, run.data.t_train)
    assert surface.loss(present(run)) == pytest.approx(expected, rel=1e-6)


def test_numbers_of_16_bits_are_not_imitated():
    half = toy(dense(5), act("tanh"), dense(2), precision="float16", loss_scale={"kind": "static", "factor": 64.0})
    run = run_of(half, 3)
    surface = LossSurface(run, 64)
    assert surface.program.precision == "float32"
    exact = LossSurface(run, 64, precision="float64")
    weights = present(run)
    assert surface.loss(weights) == pytest.approx(exact.loss(weights), rel=1e-6)
    slope, exact_slope = surface.gradient(weights)[1], exact.gradient(weights)[1]
    assert slope == pytest.approx(exact_slope, rel=1e-4, abs=1e-6)  # and not 64 times as large


def test_the_same_samples_in_blocks_give_the_same_loss_and_slope():
    run = run_of(LOSSES["softmax_cross_entropy"], 5)
    whole = LossSurface(run, 50, precision="float64")
    parts = LossSurface(run, 50, rows=7, precision="float64")
    assert (whole.blocks, parts.blocks) == (1, 8)
    weights = present(run)
    assert parts.loss(weights) == pytest.approx(whole.loss(weights), rel=1e-12)
    assert parts.gradient(weights)[1] == pytest.approx(whole.gradient(weights)[1], rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("name", [*LOSSES, "tricks"])
def test_the_slope_is_the_slope_of_the_loss(name):
    made = LOSSES.get(name) or toy(dense(6), NORM, act("tanh"), DROPOUT, dense(2))
    run = run_of(made, 3)
    surface = LossSurface(run, 40, precision="float64")
    weights = present(run)
    _loss, gradient = surface.gradient(weights)
    direction = gradient / np.linalg.norm(gradient)
    step = 1e-6
    measured = (surface.loss(weights + step * direction) - surface.loss(weights - step * direction)) / (2.0 * step)
    assert measured == pytest.approx(float(np.linalg.norm(gradient)), rel=1e-5)


def test_dropout_is_off_and_batch_norm_takes_the_samples_own_statistics():
    plain = [dense(6), NORM, act("tanh")]
    with_dropout, without = (run_of(toy(*plain, *more, dense(2)), 0) for more in ([DROPOUT], []))
    surfaces = [LossSurface(run, 40) for run in (with_dropout, without)]
    # the same draws at the same places: the last layer is another one in the list
    weights = present(without)
    assert surfaces[0].loss(weights) == surfaces[1].loss(weights)
    assert surfaces[1].rows == 40
    shifted = weights.copy()
    for tensor in surfaces[1].program.tensors:
        if tensor.parameter.name.startswith("running"):
            surfaces[1].part(shifted, tensor)[...] += 3.0
    assert surfaces[1].loss(shifted) == surfaces[1].loss(weights)


def test_a_surface_is_made_in_pieces_that_wait_for_no_compiler():
    run = run_of(LOSSES["mse"])
    pieces = surface_of(run, 20, precision="float64")
    count, surface = 0, None
    while surface is None:
        try:
            next(pieces)
            count += 1
        except StopIteration as done:
            surface = done.value
    assert surface.loss(present(run)) == LossSurface(run, 20, precision="float64").loss(present(run))
    assert count == len(LossSurface(run, 20).program.kernels)


# --- places


def test_places_are_spread_over_the_run_and_end_here():
    run = run_of(LOSSES["mse"], 1000)
    places = places_of(run, 6)
    steps = [place.step for place in places]
    assert steps[0] == 0
    assert steps[-1] == 1000
    assert len(steps) == 6
    assert max(np.diff(steps)) <= 1000 / 5 + 64
    assert places[-1].weights == pytest.approx(run.machine.arena[: run.program.parameter_count])
    assert [place.step for place in places_of(run, 1)] == [1000]
    assert [place.step for place in places_of(run_of(LOSSES["mse"]), 6)] == [0]


def test_settings_changed_while_training_count_from_their_step_on():
    run = run_of(LOSSES["mse"], 10)
    path = "training.optimizer.learning_rate"
    run.set_live(path, 0.02)
    run.advance(10)
    assert [live_at(run, path, step) for step in (0, 9, 10, 15)] == [0.1, 0.1, 0.02, 0.02]
    assert learning_rates(run, np.array([9, 10])) == pytest.approx([0.1, 0.02])


# --- the largest eigenvalue


def solved(matrix, **settings):
    start = np.random.default_rng(1).normal(size=len(matrix))
    work = largest_eigenvalue(lambda v: matrix @ v, start, **settings)
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value


@pytest.mark.parametrize("basis", [4, 12, 60])
def test_the_largest_eigenvalue_not_the_one_of_largest_size(basis):
    rng = np.random.default_rng(0)
    turn, _rest = np.linalg.qr(rng.normal(size=(50, 50)))
    values = np.concatenate([[-9.0, 4.0, 3.0], rng.uniform(-1.0, 1.0, 47)])
    matrix = turn * values @ turn.T
    found = solved(matrix, tolerance=1e-8, most=400, basis=basis)
    assert found.value == pytest.approx(4.0, rel=1e-8)
    assert np.linalg.norm(matrix @ found.vector - found.value * found.vector) < 1e-6


def test_the_residual_bounds_the_error_when_it_has_to_stop_early():
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(200, 200))
    matrix = matrix + matrix.T
    found = solved(matrix, tolerance=1e-12, most=8)
    assert found.products == 8
    assert np.min(np.abs(np.linalg.eigvalsh(matrix) - found.value)) <= found.residual


def test_matrices_that_are_no_problem():
    assert solved(np.zeros((5, 5))).value == 0.0
    assert solved(np.array([[3.0]])).value == pytest.approx(3.0)
    assert solved(-np.eye(6)).value == pytest.approx(-1.0)
    assert math.isnan(solved(np.full((4, 4), np.nan)).value)


# --- sharpness


def line_run(rate=0.05, samples=60, optimizer="sgd", steps=0):
    """Linear regression: the Hessian is known, and the same everywhere."""
    made = toy(
        dense(1), data="regression", loss="mse", samples=samples, batch_size=4096, precision="float64",
        optimizer={"kind": optimizer, "learning_rate": rate},
    )  # fmt: skip
    return run_of(made, steps)


def exact_sharpness(run):
    x = run.data.x_train.reshape(len(run.data.x_train), -1)
    x = np.column_stack([x, np.ones(len(x))])
    surface = LossSurface(run, 4096, precision="float64")
    weights = present(run)
    # the loss's own convention: mse or half of it
    t = run.data.t_train[:, 0]
    tensors = {tensor.parameter.name: surface.part(weights, tensor) for tensor in surface.tensors}
    errors = x[:, :-1] @ tensors["weight"][:, 0] + tensors["bias"][0] - t
    factor = surface.loss(weights) / float(np.mean(errors**2))
    return 2.0 * factor * float(np.linalg.eigvalsh(x.T @ x / len(x))[-1])


def test_sharpness_of_linear_regression_is_that_of_its_inputs():
    run = line_run()
    found = answer(SharpnessStudy(samples=4096), run).value
    assert found.values[-1] == pytest.approx(exact_sharpness(run), rel=1e-3)
    assert found.rule == "sgd"
    assert found.edges[-1] == pytest.approx(2.0 / 0.05)
    assert found.whole


@pytest.mark.parametrize(("share", "grows"), [(0.9, False), (1.1, True)])
def test_gradient_descent_goes_over_the_edge_where_the_study_says(share, grows):
    edge = 2.0 / exact_sharpness(line_run())
    run = line_run(share * edge, steps=400)
    found = answer(SharpnessStudy(samples=4096, moments=1), run).value
    assert (found.values[-1] > found.edges[-1]) == grows
    losses = run.record.view().values("loss")
    assert (losses[-1] > losses[0]) == grows


@pytest.mark.parametrize(("optimizer", "factor"), [("momentum", 3.8), ("nesterov", 3.8 / 2.8)])
def test_momentum_moves_the_edge(optimizer, factor):
    edge = factor / exact_sharpness(line_run())
    for share in (0.95, 1.1):
        run = line_run(share * edge, optimizer=optimizer, steps=600)
        found = answer(SharpnessStudy(samples=4096, moments=1), run).value
        assert found.edges[-1] == pytest.approx(factor / (share * edge))
        losses = run.record.view().values("loss")
        assert (losses[-1] > losses[0]) == (share > 1.0)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "binary_cross_entropy", "mse", "huber", "tricks"])
def test_sharpness_is_the_largest_eigenvalue_of_the_whole_hessian(name):
    made = LOSSES.get(name) or toy(dense(4), NORM, act("tanh"), DROPOUT, dense(2))
    run = run_of(made, 20)
    found = answer(SharpnessStudy(samples=48, moments=1), run).value
    surface = LossSurface(run, 48, precision="float64")
    values = np.linalg.eigvalsh(hessian(surface, present(run)))
    assert found.values[-1] == pytest.approx(values[-1], rel=2e-3)
    assert found.residuals[-1] <= 2e-3 * values[-1]
    loss, gradient = surface.gradient(present(run))
    assert found.losses[-1] == pytest.approx(loss)
    assert found.slopes[-1] == pytest.approx(float(np.linalg.norm(gradient)))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_sharpness_of_an_optimizer_that_scales_gradients(optimizer):
    made = toy(dense(4), act("tanh"), dense(2), optimizer={"kind": optimizer, "learning_rate": 0.01})
    run = run_of(made, 30)
    found = answer(SharpnessStudy(samples=48), run).value
    assert found.scaled
    assert math.isnan(found.values[0])  # before the first step nothing is known of the gradients
    surface = LossSurface(run, 48, precision="float64")
    places = trained(surface)
    if optimizer == "adam":
        squares = run.machine.arena[run.program.slots["second_moment"] :][places].astype(float)
        size = (1 - 0.9**30) * (np.sqrt(squares / (1 - 0.999**30)) + 1e-8)
    else:
        size = np.sqrt(run.machine.arena[run.program.slots["square_average"] :][places].astype(float)) + 1e-8
    scaled = hessian(surface, present(run)) / np.sqrt(np.outer(size, size))
    assert found.values[-1] == pytest.approx(np.linalg.eigvalsh(scaled)[-1], rel=2e-3)
    assert found.edges[-1] == pytest.approx({"adam": 38.0, "rmsprop": 2.0}[optimizer] / 0.01)


def test_full_batch_training_climbs_to_the_edge_and_stays():
    made = toy(
        dense(16), act("tanh"), dense(16), act("tanh"), dense(2), data="spirals", loss="mse", samples=60,
        batch_size=4096, epochs=4000, optimizer={"kind": "sgd", "learning_rate": 0.5},
    )  # fmt: skip
    run = run_of(made, 3000)
    found = answer(SharpnessStudy(samples=4096, moments=6), run).value
    late = found.values[-3:] / found.edges[-1]
    assert np.all((late > 0.75) & (late < 1.35))


def test_history_is_that_of_the_steps_themselves():
    run = run_of(LOSSES["mse"], 200)
    found = answer(SharpnessStudy(samples=40, moments=4), run).value
    for step, value in zip(found.steps, found.values, strict=True):
        alone = answer(SharpnessStudy(samples=40, moments=1), run_of(LOSSES["mse"], int(step))).value
        assert value == pytest.approx(alone.values[-1], rel=3e-3)


# --- noise


def test_noise_of_gradients_drawn_from_a_known_distribution():
    rng = np.random.default_rng(3)
    mean, spread = rng.normal(size=20), rng.uniform(0.5, 2.0, 20)
    variance, square = float(np.sum(spread**2)), float(np.sum(mean**2))
    found = np.array(
        [estimate(mean + spread * rng.normal(size=(32, 20)) / math.sqrt(5.0), 5, 10**9)[:4] for _ in range(400)]
    )
    assert found[:, 0].mean() == pytest.approx(variance, rel=0.02)
    assert found[:, 1].mean() == pytest.approx(square, rel=0.02)
    # the standard error is the spread of the estimate
    assert np.sqrt(np.mean(found[:, 3] ** 2)) == pytest.approx(found[:, 2].std(), rel=0.25)


def test_noise_of_single_samples_is_their_covariance():
    run = line_run(samples=40)
    count = len(run.data.x_train)
    assert count == 32
    found = answer(GradientNoiseStudy(moments=1), run).value
    assert (found.size, found.batches) == (1, 32)
    surface = LossSurface(run, count, rows=1, precision="float64")
    gradients = np.array([surface.gradient_of(present(run), i) for i in range(count)])
    variance = float(np.sum(np.var(gradients, axis=0, ddof=1)))
    square = float(np.sum(np.mean(gradients, axis=0) ** 2))
    assert found.variances[-1] == pytest.approx(variance, rel=1e-4)
    assert found.squares[-1] == pytest.approx(square, rel=1e-4)
    assert found.scales[-1] == pytest.approx(variance / square, rel=1e-3)
    assert found.errors[-1] > 0.0


def test_noise_that_cannot_be_measured():
    same = np.ones((8, 5))
    assert estimate(same, 4, 1000)[2] == 0.0
    assert math.isnan(estimate(np.full((8, 5), np.nan), 4, 1000)[2])
    lost = np.concatenate([np.eye(6), -np.eye(6)])
    assert math.isinf(estimate(lost, 4, 1000)[2])
    few = run_of(toy(dense(4), NORM, dense(2), batch_size=60), 1)
    found = answer(GradientNoiseStudy(), few).value
    assert found.batches == 0
    assert np.isnan(found.scales).all()


def test_batch_norm_is_measured_with_minibatches_as_in_training():
    run = run_of(toy(dense(4), NORM, act("relu"), dense(2), samples=200, batch_size=20), 5)
    found = answer(GradientNoiseStudy(moments=1), run).value
    assert (found.size, found.batches) == (20, 8)


# --- landscape


@pytest.mark.parametrize("directions", ["random", "gradient", "path"])
@pytest.mark.parametrize("name", ["softmax_cross_entropy", "mse", "conv", "tricks"])
def test_the_center_of_the_map_is_the_network(name, directions):
    made = LOSSES.get(name) or toy(dense(4), NORM, act("tanh"), DROPOUT, dense(2))
    run = run_of(made, 130)
    found = answer(LandscapeStudy(directions=directions, resolution=8, samples=50), run).value
    assert found.directions == directions
    row, column = (int(np.flatnonzero(axis == 0.0)[0]) for axis in (found.y, found.x))
    assert found.loss[row, column] == pytest.approx(found.here, rel=1e-6)
    assert found.here == pytest.approx(LossSurface(run, 50).loss(present(run)), rel=1e-6)
    assert found.path[-1] == pytest.approx([0.0, 0.0])
    assert found.path_steps.tolist()[-1] == 130


def test_every_cell_is_the_loss_of_other_weights():
    run = run_of(LOSSES["softmax_cross_entropy"], 9)
    found = answer(LandscapeStudy(resolution=5, samples=50, reach=0.5), run).value
    surface, here = LossSurface(run, 50), present(run)
    study = LandscapeStudy(resolution=5, samples=50, reach=0.5)
    one, other = (study._random(surface, here, 1.0, name) for name in ("first", "second"))
    for tensor in surface.tensors:  # filter by filter as long as the weights, biases at rest
        weights, moved = surface.part(here, tensor), surface.part(one, tensor)
        if tensor.parameter.weight:
            assert np.linalg.norm(moved, axis=0) == pytest.approx(np.linalg.norm(weights, axis=0))
        else:
            assert not moved.any()
    weights = here + found.x[0] * one + found.y[3] * other
    assert found.loss[3, 0] == pytest.approx(surface.loss(weights), rel=1e-6)


def test_downhill_is_downhill():
    run = run_of(LOSSES["softmax_cross_entropy"], 3)
    found = answer(LandscapeStudy(directions="gradient", resolution=5, samples=50, reach=1e-2), run).value
    middle = found.loss[2]
    assert middle[1] > middle[2] > middle[3]
    assert (middle[3] - middle[1]) / (found.x[3] - found.x[1]) == pytest.approx(found.slope, rel=1e-2)


def test_the_path_lies_in_the_plane_of_its_principal_components():
    run = run_of(LOSSES["softmax_cross_entropy"], 100)
    found = answer(LandscapeStudy(directions="path", resolution=9, samples=50), run).value
    assert found.path_steps.tolist() == [0, 64, 100]
    assert found.inside == pytest.approx(1.0)  # three points make a plane
    assert sum(found.shares) == pytest.approx(1.0)
    weights = [place.weights for place in places_of(run, 64)]
    for number, (x, y) in enumerate(found.path):
        assert math.hypot(x, y) * found.length == pytest.approx(np.linalg.norm(weights[number] - weights[-1]), abs=1e-5)
    assert found.x.min() < found.path[:, 0].min() < found.path[:, 0].max() < found.x.max()
    assert found.path_losses[0] > found.path_losses[-1]


def test_lanes_that_are_alike_get_the_same_directions():
    made = LOSSES["softmax_cross_entropy"]
    study = LandscapeStudy(resolution=5, samples=50)
    first, second = (answer(study, run_of(made, 4)).value for _ in range(2))
    assert np.array_equal(first.loss, second.loss)
    other = answer(LandscapeStudy(resolution=5, samples=50, draw=1), run_of(made, 4)).value
    assert not np.array_equal(first.loss, other.loss)


def test_without_a_way_or_a_slope_directions_are_random():
    run = run_of(LOSSES["softmax_cross_entropy"])
    assert answer(LandscapeStudy(directions="path", resolution=5), run).value.directions == "random"
    for tensor in run.program.tensors:
        run.parameter(tensor)[...] = np.nan
    found = answer(LandscapeStudy(directions="gradient", resolution=5), run).value
    assert found.directions == "random"
    assert not np.isfinite(found.loss).any()


def test_losses_that_are_not_finite_stay_visible():
    run = run_of(LOSSES["mse"])
    for tensor in run.program.tensors:
        run.parameter(tensor)[...] = 3e38
    found = answer(LandscapeStudy(resolution=5), run).value
    assert np.isinf(found.loss).any()
