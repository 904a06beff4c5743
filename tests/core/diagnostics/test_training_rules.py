"""Rules about training: each fires on networks made sick that way, and none on healthy ones, at any step."""

import math
from dataclasses import replace
from functools import lru_cache

import msgspec
import numpy as np
import pytest
from experiments import act, conv, dense, experiment
from scenes import Lanes
from zoo_cases import CASES, FOLDER

from layerscope.core.diagnostics.course import FEWEST, course_of, fall_per_step
from layerscope.core.diagnostics.doctor import diagnose, diagnosis_of, plain
from layerscope.core.diagnostics.proposal import Proposal
from layerscope.core.diagnostics.rules.base import Case, Evidence, Finding, Rule, all_rules
from layerscope.core.experiment import build, with_value
from layerscope.core.figures.reading import case_of
from layerscope.core.figures.scene import lane_of
from layerscope.core.gradient_steps.base import Clipping
from layerscope.core.record import Record
from layerscope.core.run import Run

MINE = (
    *("rate_too_high", "rate_too_low", "clipping", "overfitting"),
    *("small_batch_norm", "chance", "underflow", "nonfinite"),
)
NORM = {"kind": "batch_norm"}
LOOKS = (0, 1, 2, 5, 10, 20, 30, 50, 75, 100, 125, 150, 200, 250, 299)
RELU = (dense(64, "he_normal"), act("relu"), dense(64, "he_normal"), act("relu"), dense(10))


def sgd(rate):
    return {"kind": "sgd", "learning_rate": rate}


def adam(rate):
    return {"kind": "adam", "learning_rate": rate}


def tanh(layers, units=64):
    return [layer for _ in range(layers) for layer in (dense(units), act("tanh"))]


def on(data, *layers, loss=None, **training):
    """An experiment on other data than the digits."""
    made = with_value(experiment(*layers, **training), "data", {"kind": data})
    return made if loss is None else with_value(made, "loss", {"kind": loss})


@lru_cache(maxsize=32)
def trained(made, steps):
    run = Run(made, folder=FOLDER)
    run.advance(steps)
    run.validate()
    return run


def look(rule, run, step=None):
    """What a rule finds in a run at a step; None: the last one."""
    step = run.record.end - 1 if step is None else step
    case = case_of(lane_of(run, step=step), step)
    return rule.examine(case)


def rule(name, **thresholds):
    return Rule.registry[name](**thresholds)


def seeded(made, seed):
    return with_value(made, "seed", seed)


# --- sick networks and their healthy twins, at several seeds

ZOO = {case.name: case for case in CASES if case.first in MINE}


def test_the_zoo_has_a_case_of_every_rule_that_can_be_a_first_cause():
    assert {case.first for case in ZOO.values()} == set(MINE) - {"nonfinite"}
    assert len(ZOO) >= 8


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_rule_fires_on_sick_networks_and_not_on_their_twins(name, seed):
    case = ZOO[name]
    sick = trained(seeded(case.experiment, seed), case.steps)
    found = look(rule(case.first), sick)
    assert found is not None
    assert found.rule == case.first
    assert found.proposals
    assert found.headline
    assert all(one.text for one in found.evidence)
    assert 0 <= found.first_step <= found.last_step
    healthy = trained(seeded(case.healthy, seed), case.steps)
    for name_of_rule in MINE:
        assert look(rule(name_of_rule), healthy) is None


# --- no false alarms

CYCLE = {"kind": "one_cycle", "peak_factor": 3.0}
RESIDUAL = {"kind": "residual", "body": [dense(32, "he_normal"), act("relu"), dense(32, "he_normal")], "scale": 0.5}
CONV = (conv(8, padding="same"), NORM, act("relu"), {"kind": "max_pool", "size": 2}, {"kind": "flatten"}, dense(10))
WARMUP = {"kind": "warmup", "steps": 200, "start_factor": 0.001}
HEALTHY = {
    "sgd": experiment(*RELU, batch_size=32, optimizer=sgd(0.1)),
    "momentum": experiment(*RELU, batch_size=64, optimizer={"kind": "momentum", "learning_rate": 0.03}),
    "batches of one": experiment(*RELU, batch_size=1, optimizer=sgd(0.003)),
    "batches of four": experiment(*RELU, batch_size=4, optimizer=sgd(0.01)),
    "deep tanh": experiment(*tanh(6), dense(10), batch_size=32, optimizer=adam(0.001)),
    "adam, fast": experiment(*RELU, batch_size=64, optimizer=adam(0.01)),
    "lion": experiment(*RELU, batch_size=32, optimizer={"kind": "lion", "learning_rate": 3e-4}),
    "normalized": experiment(*RELU, batch_size=32, optimizer={"kind": "normalized_gradient", "learning_rate": 0.05}),
    "batch norm": experiment(dense(32), NORM, act("relu"), dense(32), NORM, act("relu"), dense(10), batch_size=32),
    "images in batches of eight": experiment(*CONV, batch_size=8, optimizer=sgd(0.03)),
    "clipped now and then": experiment(
        *RELU, batch_size=32, optimizer=sgd(0.1), clipping={"kind": "global_norm", "threshold": 1.0}
    ),
    "warm-up": experiment(*RELU, batch_size=32, optimizer=sgd(0.1), schedule=WARMUP),
    "cosine": experiment(*RELU, batch_size=32, epochs=7, optimizer=sgd(0.1), schedule={"kind": "cosine"}),
    "one cycle": experiment(*RELU, batch_size=32, epochs=7, optimizer=sgd(0.03), schedule=CYCLE),
    "decaying": experiment(*RELU, batch_size=32, optimizer=sgd(0.1), schedule={"kind": "exponential", "factor": 0.6}),
    "float16": experiment(*RELU, batch_size=32, optimizer=sgd(0.1), precision="float16"),
    "float16, scaled": experiment(
        *RELU, batch_size=32, optimizer=sgd(0.1), precision="float16", loss_scale={"kind": "dynamic"}
    ),
    "bfloat16": experiment(*RELU, batch_size=32, optimizer=sgd(0.1), precision="bfloat16"),
    "averaged": experiment(*RELU, batch_size=32, optimizer=sgd(0.1), averaging={"kind": "ema"}),
    "weight decay": experiment(
        *RELU, batch_size=32, optimizer=sgd(0.1), regularizers=[{"kind": "l2", "strength": 1e-3}]
    ),
    "residual": experiment(dense(32), RESIDUAL, RESIDUAL, dense(10), batch_size=32, optimizer=sgd(0.05)),
    "layer norm": experiment(dense(32), {"kind": "layer_norm"}, act("tanh"), dense(10), batch_size=2),
    "dropout": experiment(dense(64), act("relu"), {"kind": "dropout", "rate": 0.5}, dense(10), optimizer=sgd(0.1)),
    "wrong labels": with_value(experiment(*RELU, batch_size=32, optimizer=sgd(0.03)), "data.label_noise", 0.4),
    "linear where that is enough": on("blobs", dense(3), batch_size=32, optimizer=sgd(0.1)),
    "moons": on("moons", *tanh(2, 16), dense(2), batch_size=32, epochs=100, optimizer=sgd(0.3)),
    "circles": on("circles", *tanh(1, 16), dense(2), batch_size=32, epochs=100, optimizer=sgd(0.1)),
    "spirals": on("spirals", *tanh(2, 32), dense(2), batch_size=32, epochs=100, optimizer=adam(0.01)),
    "one output": on("xor", *tanh(1, 8), dense(1), loss="binary_cross_entropy", batch_size=32, optimizer=sgd(0.3)),
    "regression": on("regression", *tanh(2, 32), dense(1), loss="mse", batch_size=32, optimizer=adam(0.003)),
    "huber": on("regression", *tanh(2, 32), dense(1), loss="huber", batch_size=16, optimizer=sgd(0.03)),
}


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_healthy_networks_are_not_called_sick_at_any_step(name, seed):
    run = trained(seeded(HEALTHY[name], seed), 300)
    view = run.record.view()
    lane = lane_of(run, step=run.record.end)
    for step in LOOKS:
        case = case_of(lane, step)
        assert view.steps[-1] >= step
        for name_of_rule in MINE:
            found = rule(name_of_rule).examine(case)
            assert found is None, (step, found.headline)


# --- whatever a record holds


@pytest.mark.parametrize("steps", [0, 1, 2, 40])
def test_rules_survive_short_records_of_anything(steps):
    def spoil(lines):
        lines[len(lines) // 2 :] = math.nan

    def nothing(lines):
        lines[:] = math.nan

    lanes = Lanes()
    for change in (lambda lines: None, spoil, nothing):
        lane = lanes.lane(steps, change=change)
        made = build_like(lane)
        for step in (0, 1, steps - 1, steps + 100):
            case = Case(lane.view, lane.plan, made, step, None, (), lane.chance)
            for each in all_rules():
                found = each.examine(case)
                assert found is None or found.headline


def build_like(lane):
    layers = [msgspec.to_builtins(card.layer) for card in lane.plan.cards]
    return build(type(HEALTHY["sgd"]), {"network": layers, "training": msgspec.to_builtins(lane.training)})


def test_rules_do_not_look_ahead():
    sick = trained(ZOO["rate-hundred"].experiment, 20)
    lane = lane_of(sick, step=sick.record.end)
    assert look(rule("nonfinite"), sick) is not None
    assert rule("nonfinite").examine(case_of(lane, 2)) is None
    before = case_of(lane, 2).course
    assert before.last_step == 2
    assert before.peak == lane.view.values("loss")[:3].max()


def test_a_hundred_layers():
    run = trained(experiment(*tanh(99, 4), dense(10), batch_size=8), 3)
    assert [look(rule(name), run) for name in MINE] == [None] * len(MINE)


# --- the course of the loss


def test_the_promise_of_plain_gradient_descent_is_that_of_polyak():
    run = trained(HEALTHY["sgd"], 40)
    view = run.record.view()
    course = course_of(case_of(lane_of(run, step=39), 39))
    expected = 0.1 * view.values("norm.gradient") ** 2 / view.values("loss")
    np.testing.assert_allclose(course.promises, expected[-len(course.promises) :], rtol=1e-6)
    np.testing.assert_allclose(course.first, expected[0], rtol=1e-6)


def test_penalties_promise_nothing():
    without = trained(HEALTHY["sgd"], 5)
    penalty = with_value(HEALTHY["sgd"], "training.regularizers", [{"kind": "l2", "strength": 10.0}])
    strong = trained(penalty, 5)
    promises = [course_of(case_of(lane_of(run, step=0), 0)).first for run in (without, strong)]
    # The data's share of an update that also shrinks the weights is no larger than that of the data alone.
    assert promises[1] == pytest.approx(promises[0], rel=1e-3)


def thinned(losses, chance=2.303):
    """A case whose record has these losses, thinned out."""
    run = trained(HEALTHY["sgd"], 10)
    columns = run.program.columns
    kept = Record(
        run.record.layers,
        run.record.kinds,
        run.steps_per_epoch,
        budget=3 * 8 * columns * 64,
        run_columns=run.program.run_columns,
        layer_columns=run.program.layer_columns,
    )
    lines = np.repeat(run.record.view().block[5:6], len(losses), axis=0)
    lines[:, 0] = losses
    kept.append(lines)
    assert kept.stride > 1
    return Case(kept.view(), run.program.plan, run.experiment, kept.end - 1, None, (), chance)


def test_no_spike_is_lost_in_a_thinned_record():
    losses = np.full(4096, 2.0)
    losses[3001] = 50.0
    case = thinned(losses)
    assert case.course.peak == 50.0
    assert abs(case.course.peak_step - 3001) <= case.view.stride
    losses[3001] = math.nan
    found = rule("nonfinite").examine(thinned(losses))
    assert abs(found.first_step - 3001) <= case.view.stride


def test_the_fall_of_a_straight_line():
    case = thinned(np.linspace(3.0, 1.0, 4096))
    fall = fall_per_step(case, case.course, 4096)
    assert fall * 4096 == pytest.approx(1.0, rel=0.05)  # from 3 to 1: as much as the mean
    assert 1.0 < case.course.level < 1.5  # of the last third
    assert case.course.start == 3.0


# --- single rules


def test_minibatch_noise_alone_is_no_rate_that_is_too_high():
    noise = np.exp(np.random.default_rng(0).standard_normal(4096))  # falls and rises without a trend, wildly
    case = thinned(2.0 * noise, chance=3.0)
    assert case.course.turns > 0.5
    assert rule("rate_too_high").examine(case) is None


def test_a_range_test_may_break_the_training():
    schedule = {"kind": "range_test", "start": 1e-4, "end": 1e4, "steps": 60}
    run = trained(with_value(HEALTHY["sgd"], "training.schedule", schedule), 60)
    assert look(rule("rate_too_high"), run) is None
    assert look(rule("rate_too_low"), run) is None
    found = look(rule("nonfinite"), run)
    assert found.severity == "warning"
    assert not found.proposals


def test_a_rate_set_while_training_is_the_one_that_counts():
    run = Run(HEALTHY["sgd"])
    run.advance(20)
    run.set_live("training.optimizer.learning_rate", 5.0)
    run.advance(40)
    found = look(rule("rate_too_high"), run)
    assert found is not None
    rate = dict(found.proposals[0].changes)["training.optimizer.learning_rate"]
    assert rate in (0.5, 0.05, 0.005)


def test_thresholds_count():
    sick = trained(ZOO["rate-too-low"].experiment, 450)
    assert look(rule("rate_too_low", ratio=1e-9), sick) is None
    assert look(rule("rate_too_low", fall=0.0), sick) is None
    clipped = trained(ZOO["clipping-always"].experiment, 450)
    assert look(rule("clipping", shortened=1e-6), clipped) is None
    pairs = trained(ZOO["batch-norm-pairs"].experiment, 900)
    assert look(rule("small_batch_norm", values=2, images=1), pairs) is None
    overfit = trained(ZOO["overfitting-wrong-labels"].experiment, 360)
    assert look(rule("overfitting", rise=10.0), overfit) is None


def test_a_rate_of_zero_is_too_low():
    run = trained(with_value(HEALTHY["sgd"], "training.optimizer.learning_rate", 0.0), 120)
    found = look(rule("rate_too_low"), run)
    assert found.severity == "alarm"
    assert found.proposals[0].apply(run.experiment).training.optimizer.learning_rate > 0


def test_too_low_a_rate_is_not_said_of_a_network_without_a_gradient():
    zeros = [dense(16, "zeros"), act("relu"), dense(10, "zeros")]
    run = trained(experiment(*zeros, batch_size=32, optimizer=sgd(0.01)), 150)
    assert look(rule("rate_too_low"), run) is None


@pytest.mark.parametrize("kind", Clipping.registry.names())
def test_every_kind_of_clipping_is_told_and_cured(kind):
    tight = with_value(HEALTHY["sgd"], "training.clipping", {"kind": kind, "threshold": 1e-5})
    if kind == "divide_by_norm":  # what it leaves has norm 1 always: it lengthens as well
        tight = with_value(tight, "training.clipping.threshold", 1e-5)
        lengthened = look(rule("clipping"), trained(tight, 150))
        assert lengthened is None or lengthened.evidence[1].value < 0.5
        return
    found = look(rule("clipping"), trained(tight, 150))
    assert found.severity == "alarm"
    cured = trained(found.proposals[0].apply(tight), 150)
    assert look(rule("clipping"), cured) is None
    assert cured.last_loss < 1.0


def test_clipping_that_an_adaptive_optimizer_undoes_is_no_illness():
    clipped = with_value(HEALTHY["deep tanh"], "training.clipping", {"kind": "global_norm", "threshold": 0.2})
    run = trained(clipped, 150)
    assert run.record.view().values("clipped_gradient_norm").max() < 0.21
    assert look(rule("clipping"), run) is None
    same = with_value(clipped, "training.optimizer", sgd(0.1))
    assert look(rule("clipping"), trained(same, 150)) is not None


def test_overfitting_is_silent_where_the_best_weights_are_kept():
    sick = ZOO["overfitting-wrong-labels"].experiment
    stopping = {"patience": 50, "restore_best": True}
    kept = trained(with_value(sick, "training.early_stopping", stopping), 360)
    assert look(rule("overfitting"), kept) is None
    not_kept = trained(with_value(sick, "training.early_stopping", {**stopping, "restore_best": False}), 360)
    assert look(rule("overfitting"), not_kept) is not None


def test_overfitting_needs_samples_to_validate_with():
    run = trained(with_value(ZOO["overfitting-wrong-labels"].experiment, "data.validation", 0.0), 60)
    assert look(rule("overfitting"), run) is None


@pytest.mark.parametrize(
    ("layers", "batch", "sick"),
    [
        ([dense(16), NORM, act("relu"), dense(10)], 4, True),
        ([dense(16), NORM, act("relu"), dense(10)], 8, False),
        ([conv(4, padding="same"), NORM, {"kind": "flatten"}, dense(10)], 4, False),  # 4 images of 64 pixels
        ([conv(4, padding="same"), NORM, {"kind": "flatten"}, dense(10)], 2, True),  # alike, in 2 images
        ([dense(16), {"kind": "layer_norm"}, dense(10)], 2, False),
        ([dense(16), {**NORM, "muted": True}, act("relu"), dense(10)], 2, False),
    ],
)
def test_batch_norm_counts_samples_and_pixels(layers, batch, sick):
    run = trained(experiment(*layers, batch_size=batch), 12)
    for step in (0, 11):
        found = look(rule("small_batch_norm"), run, step)
        assert (found is not None) == sick
    if sick:
        assert found.layers == ("1",)
        texts = [one.text for one in found.evidence]
        assert any(text.startswith("measured") for text in texts)
        layer_norm = found.proposals[-1].apply(run.experiment)
        assert layer_norm.network[1].kind_name() == "layer_norm"


def test_chance_names_what_the_experiment_itself_says():
    linear = on("circles", dense(8), dense(2), batch_size=32, optimizer=sgd(0.1))
    found = look(rule("chance"), trained(linear, 300))
    kinds = [layer.kind_name() for layer in found.proposals[0].apply(linear).network]
    assert kinds == ["dense", "activation", "dense"]
    bare = on("circles", dense(2), batch_size=32, optimizer=sgd(0.1))
    found = look(rule("chance"), trained(bare, 300))
    cured = found.proposals[0].apply(bare)
    assert [layer.kind_name() for layer in cured.network] == ["dense", "activation", "dense"]
    assert look(rule("chance"), trained(cured, 400)) is None
    wrong = with_value(experiment(dense(4), act("tanh"), dense(10), optimizer=sgd(0.03)), "data.label_noise", 1.0)
    found = look(rule("chance"), trained(wrong, 600))
    assert any(one.apply(wrong).data.label_noise == 0.0 for one in found.proposals)


def test_regression_has_no_chance():
    run = trained(on("regression", dense(1), loss="mse", batch_size=32, optimizer=sgd(0.0)), 200)
    assert look(rule("chance"), run) is None


def test_underflow_of_a_converged_network_is_no_loss():
    scale = {"kind": "static", "factor": 2.0**-16}
    made = experiment(*RELU, batch_size=64, optimizer=sgd(0.1), precision="float16", loss_scale=scale)
    run = trained(made, 300)
    assert look(rule("underflow", share=0.1), run, 60) is not None
    assert run.last_loss < 0.3
    assert look(rule("underflow", share=0.01), run) is None


def test_a_nonfinite_number_is_told_with_its_place():
    def spoiled(step, quantity, layer, value):
        def change(lines):
            lines[step:, column] = value

        lane = Lanes().lane(40)
        column = lane.view.column(quantity)
        if isinstance(column, slice):
            column = column.start + layer * len(lane.view.layer_columns)
        lane = Lanes().lane(40, change=change)
        case = Case(lane.view, lane.plan, build_like(lane), 39, None, (), lane.chance)
        return rule("nonfinite").examine(case)

    assert spoiled(40, "loss", 0, math.nan) is None
    assert spoiled(7, "loss", 0, math.inf).first_step == 7
    found = spoiled(9, "activation.nonfinite_fraction", 3, 0.25)
    assert (found.first_step, found.layers) == (9, ("3",))
    assert found.evidence[0].value == 0.25
    found = spoiled(11, "gradient.norm", 2, math.inf)
    assert (found.first_step, found.layers) == (11, ("2",))
    assert spoiled(12, "gradient_norm", 0, math.nan).first_step == 12
    found = spoiled(13, "weight.norm", 4, math.nan)
    assert (found.first_step, found.layers) == (13, ("4",))


def test_skipped_steps_are_not_lost_ones():
    run = trained(HEALTHY["float16, scaled"], 300)
    scale = {"kind": "dynamic", "initial": 2.0**60}
    skipping = trained(with_value(run.experiment, "training.loss_scale", scale), 60)
    assert skipping.record.view().values("skipped")[:5].all()
    assert look(rule("nonfinite"), skipping) is None


# --- the doctor


def finding(name, follows=(), severity="alarm", first_step=0):
    return Finding(name, severity, name, "", (Evidence("", 1.0, 0.0),), first_step=first_step, follows_from=follows)


class _Fixed:
    """A rule that always finds the same."""

    active, prompt, follows_from_start = True, False, ()

    def __init__(self, name, follows, **facts):
        self.found = finding(name, **facts)
        self.follows = follows

    def kind_name(self):
        return self.found.rule

    def examine(self, case):
        return self.found


def order(*rules):
    lane = Lanes().lane(40)
    case = Case(lane.view, lane.plan, build_like(lane), 39, None, (), lane.chance)
    return [(f.rule, f.follows_from) for f in diagnose(case, rules).findings]


def test_what_follows_from_a_circle_is_not_its_cause():
    first = _Fixed("effect", ("a",))
    assert order(first, _Fixed("a", ("b",), severity="warning"), _Fixed("b", ("a",), severity="warning")) == [
        ("a", ()),
        ("effect", ("a",)),
        ("b", ("a",)),
    ]


def test_a_cause_from_the_start_must_have_been_there_then():
    early, late = _Fixed("a", (), first_step=0), _Fixed("a", (), first_step=3)
    effect = _Fixed("b", (), first_step=5)
    effect.follows_from_start = ("a",)
    assert order(early, effect) == [("a", ()), ("b", ("a",))]
    assert order(late, effect) == [("a", ()), ("b", ())]


def test_findings_as_plain_values():
    sick = trained(ZOO["rate-hundred"].experiment, 60)
    found = diagnosis_of(sick)
    values = msgspec.json.decode(msgspec.json.encode(plain(found)))
    assert [one["rule"] for one in values] == [one.rule for one in found.findings]
    assert values[0]["rule"] == "rate_too_high"
    assert "nonfinite" in {one["rule"] for one in values}
    change = values[0]["proposals"][0]["changes"][0]
    assert change["path"] == "training.optimizer.learning_rate"
    assert change["value"] < 100
    infinite = replace(found.findings[0], evidence=(Evidence("x", math.inf, 1.0),))
    assert plain(replace(found, findings=(infinite,)))[0]["evidence"][0]["value"] is None


def test_proposals_are_only_those_that_change_something():
    run = trained(HEALTHY["sgd"], 5)
    case = case_of(lane_of(run, step=4), 4)
    same = Proposal("", (("training.optimizer.learning_rate", 0.1),))
    other = Proposal("", (("training.optimizer.learning_rate", 0.2),))
    wrong = Proposal("", (("training.optimizer.no_such_setting", 0.2),))
    for _ in range(2):
        assert case.fitting([same, other, wrong]) == (other,)


def test_fewer_than_ten_losses_have_no_trend():
    run = trained(HEALTHY["sgd"], FEWEST - 1)
    case = case_of(lane_of(run, step=FEWEST - 2), FEWEST - 2)
    assert math.isnan(fall_per_step(case, case.course, 100))
