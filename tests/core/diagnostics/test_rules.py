"""The doctor's rules: silent on what is well, robust against what is broken, and exact about numbers and thresholds.

That each fires on a network that is sick in its way, and is silent on the healthy twin, is in `tests/core/test_zoo.py`.
"""

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from experiments import act, conv, dense, experiment
from scenes import CASES, Lanes, scene

from layerscope.core.diagnostics.doctor import diagnose, nearest
from layerscope.core.diagnostics.rules.base import (
    Case,
    Evidence,
    Finding,
    Rule,
    all_rules,
    factor_per_layer,
    in_short,
    percent,
    sustained,
)
from layerscope.core.diagnostics.rules.dead import Dead
from layerscope.core.diagnostics.rules.exploding import Exploding
from layerscope.core.diagnostics.rules.saturated import Saturated
from layerscope.core.diagnostics.rules.scale_drift import ScaleDrift
from layerscope.core.diagnostics.rules.symmetric import Symmetric
from layerscope.core.diagnostics.rules.update_ratio import UpdateRatio
from layerscope.core.diagnostics.rules.vanishing import Vanishing
from layerscope.core.experiment import Experiment, build
from layerscope.core.figures.reading import case_of
from layerscope.core.figures.scene import lane_of
from layerscope.core.lessons.base import LESSONS
from layerscope.core.record import Detail
from layerscope.core.run import Run

SGD = {"kind": "sgd", "learning_rate": 0.1}
ADAM = {"kind": "adam", "learning_rate": 0.001}
LANES = Lanes()


def mlp(depth, width, function, init, *between):
    hidden = [layer for _ in range(depth) for layer in (dense(width, init), *between, act(function))]
    return [*hidden, dense(10)]


def digits(*layers, **training):
    return experiment(*layers, **{"batch_size": 64, "epochs": 40, **training})


def toy(kind, *layers, loss="softmax_cross_entropy", **training):
    plain = {"data": {"kind": kind}, "network": list(layers), "loss": {"kind": loss}}
    return build(Experiment, {**plain, "training": {"batch_size": 32, "epochs": 100, **training}})


def block(width, norm):
    return {"kind": "residual", "body": [{"kind": norm}, act("relu"), dense(width, "he_normal")]}


NORM, POOL = {"kind": "batch_norm"}, {"kind": "max_pool"}
HEALTHY = {
    "linear": digits(dense(10), optimizer=SGD),
    "ReLU, He": digits(*mlp(5, 64, "relu", "he_normal"), optimizer=SGD),
    "ReLU, He, Adam": digits(*mlp(5, 64, "relu", "he_normal"), optimizer=ADAM),
    "ReLU, He, small batch": digits(*mlp(3, 64, "relu", "he_normal"), optimizer=SGD, batch_size=16),
    "ReLU, He, 20 layers": digits(*mlp(20, 100, "relu", "he_normal"), optimizer={**SGD, "learning_rate": 0.02}),
    "ReLU, pixels 0 to 1": build(
        Experiment,
        {
            "data": {"kind": "digits", "scaling": "unit"},
            "network": mlp(3, 64, "relu", "he_normal"),
            "training": {"batch_size": 64, "epochs": 40, "optimizer": ADAM},
        },
    ),
    "tanh, Xavier": digits(*mlp(5, 64, "tanh", "glorot_normal"), optimizer=SGD),
    "tanh, Xavier, 10 layers, Adam": digits(*mlp(10, 64, "tanh", "glorot_normal"), optimizer=ADAM),
    "SELU, LeCun": digits(*mlp(8, 64, "selu", "lecun_normal"), optimizer=SGD),
    "ELU": digits(*mlp(6, 64, "elu", "he_normal"), optimizer=SGD),
    "one sigmoid layer": digits(*mlp(1, 32, "sigmoid", "glorot_normal"), optimizer=SGD),
    "hard tanh": digits(*mlp(4, 64, "hard_tanh", "glorot_normal"), optimizer=SGD),
    "batch norm": digits(*mlp(6, 64, "relu", "he_normal", NORM), optimizer=SGD),
    "residual, batch norm": digits(
        dense(64, "he_normal"), *[block(64, "batch_norm")] * 8, NORM, act("relu"), dense(10), optimizer=SGD
    ),
    "residual, layer norm": digits(
        dense(64, "he_normal"), *[block(64, "layer_norm")] * 8, act("relu"), dense(10), optimizer=ADAM
    ),
    "convolutions": digits(
        conv(16, padding="same"),
        act("relu"),
        POOL,
        conv(32, padding="same"),
        act("relu"),
        POOL,
        dense(10),
        optimizer=ADAM,
    ),
    "zero output weights": digits(
        dense(32, "he_normal"), act("relu"), dense(32, "he_normal"), act("relu"), dense(10, "zeros"), optimizer=SGD
    ),
    "dropout": digits(dense(64, "he_normal"), act("relu"), {"kind": "dropout", "rate": 0.5}, dense(10), optimizer=ADAM),
    "momentum": digits(*mlp(3, 64, "relu", "he_normal"), optimizer={"kind": "momentum", "learning_rate": 0.05}),
    "moons": toy("moons", dense(8, "he_normal"), act("relu"), dense(2), optimizer=SGD),
    "values": toy(
        "regression",
        dense(16, "he_normal"),
        act("relu"),
        dense(1),
        loss="mse",
        optimizer={**SGD, "learning_rate": 0.05},
    ),
    **{
        f"{lesson.name}, {name}": lane
        for lesson in LESSONS
        for name, lane in zip("ABCD", lesson.lanes, strict=False)
        if (lesson.name, name) != ("vanishing-gradients", "A")
    },
}


def seen(run, step=None):
    lane = lane_of(run, step=step)
    case = case_of(lane, run.step if step is None else step)
    assert case is not None
    return case


# --- no false alarms


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_found_where_nothing_is_wrong(name):
    run, rules = Run(HEALTHY[name]), all_rules()
    for step in (0, 1, 3, 10, 20, 30, 60, 100, 200, 300):
        run.advance(step - run.step)
        found = diagnose(seen(run), rules).findings
        assert not found, (step, [(f.headline, f.evidence) for f in found])
    # and nothing is found afterward when one goes back
    for step in (0, 7, 150):
        assert not diagnose(seen(run, step), rules).findings


def test_what_is_nearest_to_a_threshold_is_told_of_a_healthy_network():
    run = Run(HEALTHY["ReLU, He"])
    run.advance(60)
    found = nearest(seen(run), all_rules())
    assert len(found) == 3
    excesses = [evidence.excess for _rule, evidence in found]
    assert excesses == sorted(excesses, reverse=True)
    assert all(0.0 <= excess < 1.0 for excess in excesses)


# --- whatever was recorded


def lanes_of(case):
    return scene(case).lanes


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", list(Rule.registry), ids=lambda kind: kind.kind_name())
def test_every_rule_survives_every_record(kind, case):
    for lane in lanes_of(case):
        for step in (0, 1, scene(case).step, 10**6):
            looked = case_of(lane, step)
            assert looked is not None
            finding = kind().examine(looked)
            evidence = kind().measure(looked)
            assert evidence is None or isinstance(evidence, Evidence)
            if finding is None:
                continue
            assert finding.rule == kind.kind_name()
            assert "nan" not in finding.headline + finding.explanation
            assert finding.first_step <= finding.last_step <= max(step, 0)
            assert set(finding.layers) <= set(lane.view.layers)
            assert finding.evidence
            assert not math.isnan(finding.evidence[0].value)
            excess = finding.evidence[0].excess  # NaN where any number at all is too many
            assert excess >= 1.0 or math.isnan(excess)
            assert all(proposal.fits(looked.experiment) for proposal in finding.proposals)


@pytest.mark.parametrize("case", ["empty", "all nan", "nothing"])
def test_nothing_is_said_where_nothing_is_known(case):
    rules = [Vanishing(), Exploding(), Saturated(), Dead(), Symmetric(), ScaleDrift(), UpdateRatio()]
    for lane in lanes_of(case):
        looked = case_of(lane, 0)
        assert not [finding for rule in rules if (finding := rule.examine(looked)) is not None]


def test_what_came_later_does_not_count():
    """The gradient vanishes from step 20 on; at step 10 nobody knows."""

    def later(content):
        norms = columns_of(LANES.lane(), "gradient.norm")
        content[:, norms] = 1.0
        content[20:, norms] *= 0.1 ** np.arange(len(norms))[::-1]

    lane = LANES.lane(change=later)
    assert Vanishing().examine(case_of(lane, 10)) is None
    found = Vanishing().examine(case_of(lane, 39))
    assert found is not None
    assert (found.first_step, found.last_step) == (20, 39)


def columns_of(lane, quantity):
    """The columns of the layers that are looked at, in data order."""
    where = lane.view.column(quantity)
    return np.arange(lane.view.block.shape[1])[where]


def test_a_training_that_broke_down_is_judged_by_how_it_was_before():
    def breaks(content):
        norms = columns_of(LANES.lane(), "gradient.norm")
        content[:, norms] = 4.0 ** np.arange(len(norms))[::-1]
        content[30:] = np.nan

    found = Exploding().examine(case_of(LANES.lane(change=breaks), 39))
    assert found is not None
    assert found.last_step == 29
    assert found.evidence[0].value == pytest.approx(16.0)  # the layers that are looked at are two apart


# --- single rules


def test_thresholds_count_as_they_are_set():
    run = Run(digits(*mlp(8, 32, "sigmoid", "glorot_normal"), optimizer=SGD))
    looked = seen(run)
    found = Vanishing().examine(looked)
    assert found is not None
    assert found.severity == "alarm"
    assert found.evidence[0].threshold == Vanishing().warn
    assert Vanishing(warn=0.1, alarm=0.05).examine(looked) is None
    assert Vanishing(least_total=1e-12).examine(looked) is None
    assert not diagnose(looked, [Vanishing(active=False)])
    assert Vanishing().lines("gradient.norm") == ()
    (slope,) = Vanishing(warn=0.5).slopes("gradient.norm", 20)
    assert slope[0] == pytest.approx(2.0)
    (few,) = Vanishing(warn=0.9).slopes("gradient.norm", 3)  # over three layers it is the total that decides
    assert few[0] == pytest.approx(0.05**-0.5)


def test_vanishing_says_what_theory_expects():
    run = Run(digits(*mlp(10, 100, "sigmoid", "glorot_normal"), optimizer=SGD))
    found = Vanishing().examine(seen(run))
    assert found is not None
    assert found.evidence[0].value == pytest.approx(0.236, rel=0.1)
    assert "×0.24" in found.explanation
    assert "no accident" in found.explanation


def test_batch_norm_explodes_with_depth_as_theory_says():
    """ReLU behind batch norm: 1.21 per layer in the norm (Yang et al. 2019)."""
    run = Run(digits(*mlp(30, 64, "relu", "he_normal", NORM), optimizer=SGD))
    found = Exploding().examine(seen(run))
    assert found is not None
    assert found.evidence[0].value == pytest.approx(1.21, rel=0.05)


def test_steps_that_are_too_long_for_their_weights():
    run = Run(digits(*mlp(2, 32, "tanh", "glorot_normal"), optimizer={"kind": "adam", "learning_rate": 1.0}))
    run.advance(30)
    found = UpdateRatio().examine(seen(run))
    assert found is not None
    assert found.evidence[0].value > 0.05
    assert found.evidence[0].quantity == "update_ratio"
    rate = found.proposals[-1].changes[-1][1]
    assert rate < 0.1
    assert UpdateRatio().lines("update_ratio") == ((1e-5, "hardly learns"), (0.05, "too long steps"))


def test_a_rate_of_next_to_nothing_is_raised_to_a_thousandth():
    run = Run(digits(*mlp(2, 32, "relu", "he_normal"), optimizer={"kind": "sgd", "learning_rate": 1e-6}))
    run.advance(30)
    found = UpdateRatio().examine(seen(run))
    assert found is not None
    assert found.evidence[0].is_below
    cured = Run(found.proposals[0].apply(run.experiment))
    cured.advance(30)
    assert UpdateRatio().examine(seen(cured)) is None


def test_units_that_a_step_has_killed():
    run = Run(digits(*mlp(3, 32, "relu", "he_normal"), optimizer={"kind": "sgd", "learning_rate": 10.0}))
    run.advance(10)
    found = Dead().examine(seen(run))
    assert found is not None
    assert found.first_step >= 1
    assert "step" in found.explanation
    assert found.proposals[0].changes[0][0] == "training.optimizer.learning_rate"


def test_layers_that_start_equal_but_are_told_apart_by_the_next_are_well():
    """Zeros in one layer: the next one's weights differ, so its units get different gradients."""
    made = digits(dense(16, "zeros"), act("sigmoid"), dense(16), act("tanh"), dense(10), optimizer=SGD)
    run = Run(made)
    for _ in range(4):
        assert Symmetric().examine(seen(run)) is None
        run.advance(1)


def test_copies_in_a_later_layer_only():
    made = digits(
        dense(16),
        act("tanh"),
        {**dense(16), "init": {"kind": "constant"}},
        act("tanh"),
        {**dense(10), "init": {"kind": "constant"}},
        optimizer=SGD,
    )
    run = Run(made)
    found = Symmetric().examine(seen(run))
    assert found is not None
    assert found.layers == ("2",)
    run.advance(5)
    assert Symmetric().examine(seen(run)) is not None


def test_activations_that_grow_while_training():
    def grows(content):
        content[:, columns_of(LANES.lane(), "activation.rms")] *= np.geomspace(1.0, 50.0, len(content))[:, None]
        content[:, 0] = 2.3  # the loss

    found = ScaleDrift().examine(case_of(LANES.lane(change=grows), 39))
    assert found is not None
    assert "times as large as at the start" in found.headline
    assert 20 < found.first_step < 35


def test_saturation_does_not_matter_where_the_network_has_learned():
    def stands(loss):
        def change(content):
            content[:, columns_of(LANES.lane(), "activation.saturated_fraction")] = 0.7
            content[:, 0] = loss

        return Saturated().examine(case_of(LANES.lane(change=change), 39))

    sick = stands(2.3)
    assert sick is not None
    assert sick.severity == "alarm"
    assert stands(0.1) is None


def test_a_layer_is_called_as_charts_count_it():
    made = digits(dense(8), act("tanh"), {"kind": "residual", "body": [dense(8), act("tanh")]}, dense(10))
    looked = seen(Run(made))
    assert [looked.view.layers[i] for i in looked.hidden] == ["1", "2"]
    names = [looked.name(i) for i in range(len(looked.view.layers))]
    assert names == [
        "layer 1 (Dense)",
        "layer 1 (Tanh)",
        "layer 2 (Dense 2.body.0)",
        "layer 2 (Tanh 2.body.1)",
        "layer 2 (Residual block)",
        "the output layer",
    ]


# --- numbers


@pytest.mark.parametrize(
    ("sizes", "factor"),
    [
        ([1.0, 2.0, 4.0], 2.0),
        ([8.0, 2.0, 0.5], 0.25),
        ([0.0, 1.0, 1.0], math.inf),
        ([1.0, 1.0, 0.0], 0.0),
        ([0.0, 0.0, 0.0], math.nan),
        ([1.0, math.nan, 1.0], math.nan),
        ([1.0, math.inf, 1.0], math.nan),
        ([3.0], math.nan),
    ],
)
def test_the_factor_per_layer_is_the_slope_of_the_logarithms(sizes, factor):
    assert factor_per_layer(np.array([sizes]))[0] == pytest.approx(factor, nan_ok=True)


@pytest.mark.parametrize(
    ("evidence", "excess"),
    [
        (Evidence("", 0.8, 0.4), 2.0),
        (Evidence("", 1e-7, 1e-5), 100.0),
        (Evidence("", 0.0, 1e-5), math.inf),
        (Evidence("", 0.2, 0.4, below=False), 0.5),
        (Evidence("", 0.25, 0.5, factor=True), 2.0),
        (Evidence("", 4.0, 2.0, factor=True), 2.0),
        (Evidence("", 1.0, 0.5, below=True, factor=True), 0.0),
        (Evidence("", 2.0, 0.5, below=True, factor=True), 0.0),
        (Evidence("", 0.0, 0.5, factor=True), math.inf),
        (Evidence("", math.nan, 0.5), math.nan),
    ],
)
def test_how_far_beyond_its_threshold_a_number_is(evidence, excess):
    assert evidence.excess == pytest.approx(excess, nan_ok=True)


def test_since_when_something_is_so():
    steps = np.array([0, 10, 20, 30])
    assert sustained(steps, np.array([True, True, True, True])) == 0
    assert sustained(steps, np.array([True, False, True, True])) == 20
    assert sustained(steps, np.array([False, False, False, True])) == 30


def test_numbers_in_sentences():
    assert [in_short(v) for v in (0.236, 1.4e6, 8.16e-7, 0.0)] == ["0.24", "1.4e6", "8.2e-7", "0"]
    assert percent(0.838) == "84\u00a0%"


# --- causes and effects


class _Told(Rule, frozen=True, kw_only=True, tag="told"):
    """A rule that finds what it is told to."""

    finding: ClassVar[Finding | None] = None

    def examine(self, case: Case) -> Finding | None:
        return self.finding


def told(name, severity="alarm", first=0, follows=(), prompt=True):
    """A rule of this name that finds something."""
    finding = Finding(name, severity, name, "", (Evidence("", 2.0, 1.0),), first_step=first)
    body = {
        "finding": finding,
        "follows": follows,
        "prompt": prompt,
        "kind_name": classmethod(lambda _cls: name),
        "__annotations__": {"finding": "ClassVar", "follows": "ClassVar", "prompt": "ClassVar"},
        "__module__": __name__,
    }
    return type(name, (_Told,), body, frozen=True, kw_only=True, tag=name)()


def order(*rules, step=100):
    lane = LANES.lane()
    found = diagnose(replace(case_of(lane, 39), step=step), rules).findings
    return [(finding.rule, finding.follows_from) for finding in found]


def test_a_cause_stands_before_what_follows_from_it():
    assert order(told("effect", follows=("cause",)), told("cause", "warning")) == [
        ("cause", ()),
        ("effect", ("cause",)),
    ]
    assert order(told("effect", follows=("absent",))) == [("effect", ())]


def test_what_came_long_after_is_no_cause():
    effect = told("effect", first=10, follows=("cause",))
    assert order(effect, told("cause", first=60)) == [("effect", ()), ("cause", ())]
    # a rule that needs its time to tell may have noticed the cause after the effect
    assert order(effect, told("cause", first=24, prompt=False))[1] == ("effect", ("cause",))


def test_of_rules_that_follow_from_each_other_the_worse_is_the_cause():
    one, other = told("one", "warning", follows=("other",)), told("other", "alarm", follows=("one",))
    assert order(one, other) == [("other", ()), ("one", ("other",))]


def test_findings_of_equal_rank_stand_by_severity_and_then_by_time():
    assert [name for name, _f in order(told("a", "warning"), told("b", first=9), told("c", first=3))] == ["c", "b", "a"]


# --- details of units


def test_details_since_when():
    lane = LANES.lane()
    layers = len(lane.view.layers)

    def detail(step, share):
        return Detail(step, np.zeros((7, layers)), {"activation.dead_fraction": np.full(layers, share)})

    view = replace(lane.view, details=tuple(detail(s, share) for s, share in ((0, 0.1), (5, 0.9), (8, 0.9), (30, 0.0))))
    content = np.array(view.block)
    content[:, 0] = 2.3
    looked = case_of(replace(lane, view=replace(view, block=content)), 20)
    found = Dead().examine(looked)
    assert found is not None
    assert (found.first_step, found.last_step) == (5, 8)
    assert Dead().examine(replace(looked, step=39)) is None
