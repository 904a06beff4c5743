"""Real experiments, drawn and run by the engine, lie within the bands that the figures draw around theory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from experiments import act, table_data

from layerscope.core.experiment import Experiment, build
from layerscope.core.figures.figure import FIGURES, Band
from layerscope.core.figures.reading import first_moment, places
from layerscope.core.figures.scene import lane_of, scene_of
from layerscope.core.run import Run

WIDTH, DEPTH = 200, 20
INIT = tuple[str, dict[str, object], float]  # function, init, standard deviation of the biases
THIRD = math.sqrt(1 / 3)

# The rows of what framework defaults do to a deep network, and of tanh in its two phases, and functions whose fixed
# point is stable or not.
PAIRS: dict[str, INIT] = {
    "sigmoid, Glorot": ("sigmoid", {"kind": "glorot_uniform"}, 0.0),
    "sigmoid, PyTorch's default": ("sigmoid", {"kind": "lecun_uniform", "gain": THIRD}, THIRD / math.sqrt(WIDTH)),
    "tanh, PyTorch's default": ("tanh", {"kind": "lecun_uniform", "gain": THIRD}, THIRD / math.sqrt(WIDTH)),
    "tanh, Glorot": ("tanh", {"kind": "glorot_uniform"}, 0.0),
    "tanh, gain 5/3": ("tanh", {"kind": "glorot_normal", "gain": 5 / 3}, 0.0),
    "tanh, N(0, 1)": ("tanh", {"kind": "normal", "std": 1.0}, 0.0),
    "tanh, ordered": ("tanh", {"kind": "lecun_normal", "gain": math.sqrt(1.5)}, math.sqrt(0.05)),
    "tanh, chaotic": ("tanh", {"kind": "lecun_normal", "gain": math.sqrt(2.5)}, math.sqrt(0.05)),
    "ReLU, PyTorch's default": ("relu", {"kind": "lecun_uniform", "gain": THIRD}, THIRD / math.sqrt(WIDTH)),
    "ReLU, Glorot": ("relu", {"kind": "glorot_normal"}, 0.0),
    "ReLU, He": ("relu", {"kind": "he_normal"}, 0.0),
    "SELU, LeCun": ("selu", {"kind": "lecun_normal"}, 0.0),
    "ELU, critical": ("elu", {"kind": "lecun_normal", "gain": 1.2451983}, 0.0),
    "GELU, He": ("gelu", {"kind": "he_normal"}, 0.0),
    "SiLU, He": ("silu", {"kind": "he_normal"}, 0.0),
    "GELU, doubly critical": (
        "gelu",
        {"kind": "lecun_normal", "gain": math.sqrt(1.98305826)},
        math.sqrt(0.17292239),
    ),
}


@dataclass(frozen=True)
class Found:
    """Over all layers and networks, as shares of one: what lies within the bands."""

    rms: float
    below: float
    above: float
    gradient: float
    # mean and standard deviation of the deviation of ln(square), in standard deviations by theory
    rms_off: tuple[float, float]
    gradient_off: tuple[float, float]


def network(pair: INIT, width: int, depth: int) -> list[dict[str, object]]:
    function, init, biases = pair
    dense = {"kind": "dense", "units": width, "init": init, "bias_std": biases}
    return [*[layer for _ in range(depth) for layer in (dense, act(function))], {"kind": "dense", "units": 10}]


def run_of(pair: INIT, seed: int, width: int, depth: int, samples: int, digits: bool = False) -> Run:
    experiment = build(
        Experiment, {"network": network(pair, width, depth), "seed": seed, "training": {"batch_size": samples}}
    )
    x = np.random.default_rng(seed).normal(size=(max(samples, 2), 100))
    return Run(experiment, None if digits else table_data(x, np.arange(len(x)) % 10, 10))


def measured(pair: INIT, seeds: int, width: int, depth: int, samples: int = 64, digits: bool = False) -> Found:
    inside: list[list[bool]] = [[], [], [], []]
    off: list[list[float]] = [[], []]
    for seed in range(seeds):
        run = run_of(pair, seed, width, depth, samples, digits)
        lane = lane_of(run)
        moment = first_moment(lane.view)
        assert moment is not None
        expected = {p.path: p for p in lane.predictions}
        rms, mean, std = (moment.layers(f"activation.{name}") for name in ("rms", "mean", "std"))
        norms = moment.layers("gradient.norm") / moment.layers("gradient.norm")[-1]
        # the layers that the figures show: behind the function
        for place in places(lane, "main"):
            p, i = expected[lane.view.layers[place.index]], place.index
            edges = p.edge_bands()
            for into, value, (low, high) in (
                (inside[0], rms[i], p.rms_band()),
                (inside[1], mean[i] - std[i], edges[0]),
                (inside[2], mean[i] + std[i], edges[1]),
                *([(inside[3], norms[i], p.gradient_band())] if p.gradient_log_std > 0.0 else []),
            ):
                into.append(bool(low <= value <= high))
            off[0].append(2 * math.log(rms[i] / p.rms) / p.log_std)
            if p.gradient_log_std > 0.0:
                off[1].append(2 * math.log(norms[i] / p.gradient_norm) / p.gradient_log_std)
    shares = [float(np.mean(part)) for part in inside]
    spreads = [(float(np.mean(part)), float(np.std(part))) for part in off]
    return Found(shares[0], shares[1], shares[2], shares[3], spreads[0], spreads[1])


def told(name: str, found: Found) -> str:
    return (
        f"{name:28s} within: rms {found.rms:6.1%}  mean - std {found.below:6.1%}  mean + std {found.above:6.1%}  "
        f"gradient {found.gradient:6.1%}   off: rms {found.rms_off[0]:+.2f} ± {found.rms_off[1]:.2f}  "
        f"gradient {found.gradient_off[0]:+.2f} ± {found.gradient_off[1]:.2f}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_nine_of_ten_layers_are_within_the_bands(name: str) -> None:
    found = measured(PAIRS[name], 20, WIDTH, DEPTH)
    print(told(name, found))
    assert min(found.rms, found.below, found.above, found.gradient) >= 0.9


@pytest.mark.parametrize("name", PAIRS)
def test_the_same_of_few_smaller_networks(name: str) -> None:
    found = measured(PAIRS[name], 8, 100, 10)
    assert found.rms >= 0.9, told(name, found)
    assert found.gradient >= 0.9, told(name, found)
    assert min(found.below, found.above) >= 0.85, told(name, found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sigmoid, Glorot", "tanh, Glorot", "tanh, gain 5/3", "ReLU, He", "SELU, LeCun"])
def test_the_band_is_no_wider_than_one_sample_needs(name: str) -> None:
    # Of one sample theory knows exactly how far networks are apart; a minibatch averages some of it away.
    found = measured(PAIRS[name], 200, 100, 12, samples=1)
    print(told(name, found))
    assert 0.9 <= found.rms <= 0.99
    assert 0.9 <= found.gradient <= 0.99
    assert found.rms_off[1] == pytest.approx(1.0, abs=0.15)
    assert found.gradient_off[1] == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("name", ["tanh, Glorot", "ReLU, He"])
def test_samples_of_different_lengths_are_no_trouble(name: str) -> None:
    # the digits, standardized: some are three times as long as others
    found = measured(PAIRS[name], 8, 200, 10, digits=True)
    assert min(found.rms, found.gradient) >= 0.9, told(name, found)


def test_the_figures_draw_these_bands() -> None:
    run = run_of(PAIRS["tanh, Glorot"], 1, 60, 5, 32)
    shown = scene_of([("A", "", run)])
    lane = shown.lanes[0]
    by_path = {p.path: p for p in lane.predictions}
    of_places = [by_path[lane.view.layers[place.index]] for place in places(lane, "main")]
    for kind, count in (("gradients", 1), ("signal", 2)):
        made = FIGURES[kind].build(shown, FIGURES[kind].options())
        bands = [mark for mark in made.plots[0].marks if isinstance(mark, Band) and mark.label.startswith("theory")]
        assert len(bands) == count
        without = FIGURES[kind].build(shown, FIGURES[kind].options(band=False))
        assert not [
            mark for mark in without.plots[0].marks if isinstance(mark, Band) and mark.label.startswith("theory")
        ]
        said = FIGURES[kind].explain(shown, FIGURES[kind].options()).yours
        assert "band of theory" in said
        if kind == "gradients":
            ratio = np.log(bands[0].high / bands[0].low)
            assert ratio == pytest.approx([2 * p.gradient_log_std for p in of_places], rel=1e-9)
            assert ratio[-1] == 0.0  # that is where the line begins
        else:
            assert bands[0].low == pytest.approx([p.edge_bands()[0][0] for p in of_places])
            assert bands[1].high == pytest.approx([p.edge_bands()[1][1] for p in of_places])
