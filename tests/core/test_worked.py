"""Worked equations are proofs: what is written recomputes to the result, and the result is what the engine computed.

Every kind of the registries is put under the microscope; a kind that does not write its equations fails here.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from experiments import act, conv, dense, experiment
from sample_networks import LAYER_SAMPLES, NESTED, kind

from layerscope.core.activations import ACTIVATIONS
from layerscope.core.averaging import Averaging
from layerscope.core.experiment import Experiment, build
from layerscope.core.gradient_steps.base import Clipping, Optimizer, Regularizer
from layerscope.core.layers.base import Layer
from layerscope.core.loss_scale import LossScale
from layerscope.core.losses import Loss
from layerscope.core.run import Run
from layerscope.core.studies.base import answer
from layerscope.core.studies.microscope import Microscope
from layerscope.core.worked import (
    MOST,
    Equation,
    constant,
    equation,
    negative,
    number,
    power,
    same,
    sum_of,
    sum_of_squares,
    text_of,
)

BODY = [dense(8), act("tanh"), kind("batch_norm"), dense(10)]
STEPS = 3


def sights(run, places=2, seed=0, **settings):
    """Every operation of the coming step, looked at in some places."""
    rng = np.random.default_rng(seed)
    for index in range(1, len(run.program.operations) + 1):
        for _ in range(places):
            sample, unit, entry = (int(n) for n in rng.integers(1, (17, 120, 60)))
            yield answer(Microscope(operation=index, sample=sample, unit=unit, input=entry, **settings), run).value


def proved(made: Experiment, steps=STEPS, **settings) -> dict[tuple[str, str], int]:
    """Look at all operations; every equation must agree with the engine. How many were compared, by place and link."""
    run = Run(made)
    run.advance(steps)
    compared: dict[tuple[str, str], int] = {}
    for sight in sights(run, **settings):
        for one in sight.equations:
            assert one.agrees(sight.precision), (sight.operation, one)
            assert_recomputes(one)
            if one.found is not None:
                key = sight.operation.path, sight.operation.phase
                compared[key] = compared.get(key, 0) + 1
    return compared


# --- what is written, computed again from nothing but the text

POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


def recomputed(text: str) -> float:
    """The value of the numbers that are written, as a person with a calculator gets it."""
    from scipy.special import expit, ndtr

    text = text.replace("\u2212", "-").replace("∞", "inf").replace("NaN", "nan")
    text = re.sub(r"·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda m: "e" + m[1].translate(POWERS), text)
    text = re.sub(r"… \(\d+ more: ([^()]*)\)", r"(\1)", text)
    text = re.sub(r", … \(\d+\)", "", text)  # of a maximum: the others are smaller
    text = text.replace("²", "**2").replace("^", "**").replace(" · ", " * ")
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", text)
    text = re.sub(r"√(\d[\d.e+-]*)", r"√(\1)", text).replace("√", "sqrt")
    names = {
        "exp": np.exp,
        "ln": np.log,
        "tanh": np.tanh,
        "sqrt": np.sqrt,
        "σ": expit,
        "Φ": ndtr,
        "φ": lambda x: math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
        "sign": np.sign,
        "max": max,
        "min": min,
        "abs": abs,
        "inf": math.inf,
        "nan": math.nan,
    }
    with np.errstate(all="ignore"):
        return float(eval(text, {"__builtins__": {}}, names))


def assert_recomputes(one: Equation) -> None:
    """The four digits of every written number decide how near one comes."""
    if "Σ ℓ" in one.symbols or not math.isfinite(one.result):
        return  # a mean over samples whose parts are sums themselves
    found = recomputed(one.numbers)
    assert found == pytest.approx(one.result, abs=2e-3 * max(one.size, abs(one.result)) + 1e-12), one


@pytest.mark.parametrize(
    ("term", "symbols", "numbers", "value"),
    [
        (number("a", 2.0) + number("b", -3.0), "a + b", "2 + (−3)", -1.0),
        (number("a", 2.0) - (number("b", 3.0) - number("c", 4.0)), "a − (b − c)", "2 − (3 − 4)", 3.0),
        (number("a", -2.0) * number("b", 3.0), "a b", "(−2) · 3", -6.0),
        (number("a", 2.0) * (number("b", 3.0) + constant(1.0)), "a (b + 1)", "2 · (3 + 1)", 8.0),
        (number("a", 6.0) / number("b", 3.0) / number("c", 2.0), "(a / b) / c", "(6 / 3) / 2", 1.0),
        (number("a", 6.0) / (number("b", 3.0) * number("c", 2.0)), "a / (b c)", "6 / (3 · 2)", 1.0),
        (number("v", 9.0).root() + constant(1e-8), "√v + 1·10⁻⁸", "√9 + 1·10⁻⁸", 3.0),
        ((number("v", 9.0) + number("e", 7.0)).root(), "√(v + e)", "√(9 + 7)", 4.0),
        ((number("w", -3.0) - constant(1.0)).squared(), "(w − 1)²", "(−3 − 1)²", 16.0),
        (number("w", -3.0).squared(), "w²", "(−3)²", 9.0),
        (constant(1.0) - power(number("β", 0.9), "t", 2.0), "1 − β^t", "1 − 0.9^2", 0.19),
        (number("a", 2.0) - negative(number("b", -3.0)), "a − (−b)", "2 − (−(−3))", -1.0),
    ],
)
def test_terms_are_written_with_the_parentheses_that_they_need(term, symbols, numbers, value):
    assert (term.symbols, term.numbers) == (symbols, numbers)
    assert term.value == pytest.approx(value)
    assert recomputed(term.numbers) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.21384, "−0.2138"),
        (12345.6, "12346"),
        (1e-5, "1·10⁻⁵"),
        (-3.14159e9, "−3.142·10⁹"),
        (math.nan, "NaN"),
        (-math.inf, "−∞"),
        (1.0, "1"),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert text_of(value) == text


def test_a_sum_names_its_largest_terms_and_is_honest_about_the_rest():
    values = np.array([0.001, -5.0, 0.002, 3.0, 0.0, 1.0, 0.5])
    term = sum_of("Σ x", values)
    assert term.numbers == f"−5 + 3 + 1 + … ({len(values) - MOST} more: 0.503)"
    assert term.value == pytest.approx(values.sum())
    assert sum_of("Σ x", np.array([0.0, 2.0, 0.0, 0.0, 0.0, 0.0])).numbers == "2 + … (5 more: 0)"
    assert sum_of("Σ x y", [2.0, 1.0], [-3.0, 4.0]).numbers == "2 · (−3) + 1 · 4"
    assert sum_of("Σ x", np.zeros(0)).numbers == "0"
    assert sum_of_squares("Σ x²", [3.0, -4.0]).value == 25.0


def test_a_nan_among_thousands_comes_first():
    values = np.ones(5000)
    values[4321] = np.nan
    term = sum_of("Σ x", values)
    assert term.numbers.startswith("NaN + 1")
    assert math.isnan(term.value)


def test_another_result_is_noticed():
    right = equation("y", number("a", 2.0) * number("b", 3.0), 6.0)
    assert right.agrees("float32")
    for found in (6.001, 5.999, math.nan, math.inf, -6.0):
        assert not replace(right, found=found).agrees("float32")
    assert not replace(right, found=6.0 + 1e-10).agrees("float64")
    assert same(math.nan, math.nan, math.nan, "float32")
    assert not same(math.nan, 1.0, 1.0, "float32")


# --- every kind


LAYERS = [(name, number) for name, nets in LAYER_SAMPLES.items() for number in range(len(nets))]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(("name", "sample"), LAYERS)
def test_every_layer_works_out_what_the_engine_computed(name, sample, precision):
    network = LAYER_SAMPLES[name][sample]
    compared = proved(experiment(*network, dense(10), precision=precision), 2)
    places = {str(index) for index, layer in enumerate(network) if layer["kind"] == name}
    assert places
    for place in places:
        assert compared.get((place, "forward"), 0) > 0


def test_there_is_a_sample_of_every_layer():
    assert set(LAYER_SAMPLES) == set(Layer.registry.names())
    assert {layer["function"] for net in LAYER_SAMPLES["activation"] for layer in net if "function" in layer} == set(
        ACTIVATIONS.names()
    )


@pytest.mark.parametrize("name", NESTED)
def test_blocks_in_blocks_are_worked_out(name):
    proved(experiment(*NESTED[name], dense(10)), 2)


@pytest.mark.parametrize("name", Layer.registry.names())
def test_a_layer_is_worked_out_on_its_way_back(name):
    """Somewhere among its samples each kind has a gradient to hand back or parameters to learn."""
    for network in LAYER_SAMPLES[name]:
        places = {str(index) for index, layer in enumerate(network) if layer["kind"] == name}
        compared = proved(experiment(*network, dense(10)), 1)
        if any(compared.get((place, "backward")) for place in places):
            return
    pytest.fail(f"no sample of {name} is worked out on the way back")


LOSSES = {
    "softmax_cross_entropy": {"label_smoothing": 0.1},
    "binary_cross_entropy": {},
    "mse": {},
    "huber": {"delta": 0.3},
}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", Loss.registry.names())
def test_every_loss_is_worked_out(name, precision):
    made = experiment(dense(8), act("tanh"), dense(10), precision=precision)
    made = build(Experiment, {**plain(made), "loss": {"kind": name, **LOSSES[name]}})
    compared = proved(made)
    assert compared["loss", "loss"] > 0
    assert compared["loss", "backward"] > 0


def plain(made: Experiment):
    import msgspec

    return msgspec.to_builtins(made)


SHRINKING = [
    {"kind": "l2", "strength": 0.01},
    {"kind": "l1", "strength": 0.003},
    {"kind": "decoupled", "strength": 0.1},
    {"kind": "max_norm", "limit": 0.8},
]


def updates(compared) -> int:
    return sum(count for (_path, phase), count in compared.items() if phase == "update")


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", Optimizer.registry.names())
def test_every_optimizer_is_worked_out_with_every_penalty(name, precision):
    assert {one["kind"] for one in SHRINKING} == set(Regularizer.registry.names())
    training = {"optimizer": {"kind": name, "learning_rate": 0.01}, "regularizers": SHRINKING, "precision": precision}
    for parameter in ("", "bias", "gamma"):
        compared = proved(experiment(*BODY, **training), parameter=parameter)
        assert updates(compared) > 12


@pytest.mark.parametrize("threshold", [0.01, 100.0])
@pytest.mark.parametrize("name", Clipping.registry.names())
def test_every_clipping_is_worked_out(name, threshold):
    training = {"clipping": {"kind": name, "threshold": threshold}, "optimizer": {"kind": "sgd", "learning_rate": 0.1}}
    run = Run(experiment(*BODY, **training))
    run.advance(2)
    found = [sight for sight in sights(run) if sight.operation.label == name]
    assert found
    assert all(one.agrees("float32") for sight in found for one in sight.equations)
    assert all(sight.equations[-1].found is not None for sight in found)


@pytest.mark.parametrize("averaging", [{"kind": "ema"}, {"kind": "swa", "start": 1}])
def test_averages_are_worked_out_when_they_begin_and_later(averaging):
    made = experiment(*BODY, averaging=averaging, batch_size=256)
    run = Run(made)
    per_epoch = run.steps_per_epoch
    for steps in (0, 1, per_epoch - 1, 2 * per_epoch - 1):
        run.seek(steps)
        names = [one.name for sight in sights(run, 1) for one in sight.equations if one.name == "w̄"]
        assert names
        assert all(one.agrees("float32") for sight in sights(run, 1) for one in sight.equations)


def test_networks_that_answer_together_average_no_weights():
    assert set(Averaging.registry.names()) == {"ema", "swa", "ensemble"}
    proved(experiment(*BODY, averaging={"kind": "ensemble", "size": 2}), 1)


@pytest.mark.parametrize("scale", [{"kind": "static", "factor": 256.0}, {"kind": "dynamic", "initial": 1024.0}])
@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32"])
def test_scaled_losses_are_worked_out(scale, precision):
    assert scale["kind"] in LossScale.registry.names()
    run = Run(experiment(*BODY, loss_scale=scale, precision=precision, averaging={"kind": "ema"}))
    run.advance(2)
    labels = set()
    for sight in sights(run):
        labels.add(sight.operation.label)
        assert all(one.agrees(precision) for one in sight.equations), sight
    assert {"loss_scale", "averaging"} <= labels


def test_a_step_that_is_skipped_says_so():
    run = Run(experiment(*BODY, loss_scale={"kind": "static", "factor": 2.0**60}, precision="float16"))
    seen = [
        sight for sight in sights(run, 1) if sight.operation.phase == "update" and sight.operation.path != "optimizer"
    ]
    assert seen
    assert all(sight.skipped and not sight.equations for sight in seen)


# --- the mechanism is no decoration


def test_a_wrong_engine_is_found_out():
    """The number in the arena is changed behind the equation's back: then it does not agree."""
    run = Run(experiment(dense(8), dense(10)))
    sight = answer(Microscope(operation=2), run).value
    (forward,) = sight.equations
    assert forward.agrees("float32")
    assert not replace(forward, found=forward.found + 1e-3).agrees("float32")


def test_live_settings_count_and_not_those_of_the_file():
    made = experiment(
        dense(8), kind("dropout", rate=0.5), dense(10), optimizer={"kind": "momentum", "learning_rate": 0.1}
    )
    run = Run(made)
    run.advance(2)
    run.set_live("training.optimizer.momentum", 0.25)
    run.set_live("network.1.rate", 0.125)
    run.set_live("training.optimizer.learning_rate", 0.5)
    written = [one for sight in sights(run) for one in sight.equations]
    assert all(one.agrees("float32") for one in written)
    assert any("0.25 ·" in one.numbers for one in written if one.name == "v")
    assert any("1 − 0.125" in one.numbers for one in written)
    assert any(one.numbers.startswith("0.5 ·") for one in written if one.name == "Δw")


def test_numbers_that_are_none_stay_visible():
    run = Run(experiment(dense(8), act("relu"), dense(10)))
    run.parameter(run.program.tensors[0])[3, 2] = np.nan
    sight = answer(Microscope(operation=2, unit=3), run).value
    (forward,) = sight.equations
    assert forward.numbers.count("NaN") >= 1
    assert math.isnan(forward.result)
    assert math.isnan(forward.found)
    assert forward.agrees("float32")
    assert sight.pictures[-1].range.strange == len(run.batch())


def test_pictures_keep_their_shape():
    run = Run(experiment(conv(3), act("relu"), kind("max_pool"), dense(70), dense(10)))
    for sight in sights(run, 1):
        for picture in sight.pictures:
            assert max(picture.values.shape) <= 65
            for cells in picture.chooses.values():
                assert cells.shape == picture.values.shape
            for top, left, bottom, right in picture.marked:
                assert 0 <= top < bottom <= picture.values.shape[0]
                assert 0 <= left < right <= picture.values.shape[1]
