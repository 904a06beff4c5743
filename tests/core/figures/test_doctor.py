"""The doctor's figure: findings in order, each number beside its threshold, and what a healthy network is told."""

from dataclasses import replace

import msgspec
import pytest
from experiments import act, dense, experiment
from scenes import scene
from zoo_cases import CASES, FOLDER

from layerscope.core.diagnostics.rules.base import all_rules
from layerscope.core.figures.doctor import MOST_LINES
from layerscope.core.figures.figure import FIGURES, Line, Note, Rule, Scene
from layerscope.core.figures.scene import scene_of
from layerscope.core.run import Run

KIND = FIGURES["doctor"]
BY_NAME = {case.name: case for case in CASES}


def sick(*names, steps=30):
    runs = []
    for letter, name in zip("ABCD", names, strict=False):
        run = Run(BY_NAME[name].experiment, folder=FOLDER)
        run.advance(steps)
        runs.append((letter, name, run))
    return scene_of(runs)


def healthy():
    run = Run(experiment(dense(32, "he_normal"), act("relu"), dense(10), batch_size=64))
    run.advance(40)
    return scene_of([("A", "as built", run)])


def build(shown):
    return KIND.build(shown, KIND.options())


def texts(figure, plot=0):
    return [mark.text for mark in figure.plots[plot].marks if isinstance(mark, Note)]


def bars(figure, plot=0):
    return [mark for mark in figure.plots[plot].marks if isinstance(mark, Line) and mark.width > 5]


def test_the_first_cause_stands_on_top_and_effects_below_it():
    figure = build(sick("vanishing-small-weights"))
    said = texts(figure)
    assert said[0].startswith("Gradients vanish: ×0.24 per layer")
    assert said[1] == "×0.24, warns below ×0.91"
    assert said[2] == "layers 1–4 · steps 0 to 30"
    assert said[3] == "Try: Xavier weights, whose spread follows from the number of inputs"
    effects = [text for text in said if text.startswith("↳ ")]
    assert len(effects) == len(figure.table["rule"]) - 1 > 0
    assert any(text.startswith("follows from: Vanishing gradients") for text in said)
    assert figure.table["rule"][0] == "vanishing"
    assert figure.subtitle == f"{len(figure.table['rule'])} findings · step 30"


def test_a_bar_reaches_as_far_beyond_the_threshold_as_the_number():
    figure = build(sick("saturated-tanh"))
    first = bars(figure)[0]
    assert first.x[1] == pytest.approx(figure.table["value"][0] / figure.table["threshold"][0])
    assert first.color == "alarm"
    ticks = [mark for mark in figure.plots[0].marks if isinstance(mark, Line) and mark.x[0] == mark.x[1]]
    assert {float(tick.x[0]) for tick in ticks} == {1.0}
    assert len(ticks) == len(bars(figure))


def test_a_healthy_network_is_told_what_comes_nearest():
    figure = build(healthy())
    assert len(figure.table) == 0 or not len(figure.table["rule"])
    rules = len(all_rules())
    assert texts(figure)[0] == f"{rules} rules have looked and found nothing"
    assert all(bar.x[1] < 1.0 and bar.color == "good" for bar in bars(figure))
    assert len(bars(figure)) >= 2
    assert "nothing found" in figure.subtitle


def test_several_lanes_share_one_axis_and_say_less_of_each():
    alone, four = build(sick("vanishing-sigmoid")), build(sick("vanishing-sigmoid", *3 * ["exploding-gain"]))
    assert len(four.plots) == 4
    assert len({plot.x.limits for plot in four.plots}) == 1
    assert len(texts(four)) < len(texts(alone))
    assert sum(-plot.y.limits[0] for plot in four.plots) <= MOST_LINES
    assert all(texts(four, number)[0].startswith("Gradients") for number in range(4))


def test_thresholds_are_those_of_the_scene():
    shown = sick("vanishing-sigmoid")
    changed = msgspec.structs.replace
    rules = tuple(changed(rule, active=rule.kind_name() != "vanishing") for rule in all_rules())
    figure = build(Scene(shown.lanes, shown.step, rules))
    assert "vanishing" not in figure.table["rule"]
    milder = tuple(
        changed(rule, warn=0.1, alarm=0.1) if rule.kind_name() == "vanishing" else rule for rule in all_rules()
    )
    assert "vanishing" not in build(Scene(shown.lanes, shown.step, milder)).table["rule"]


def test_what_yours_says_names_the_cause_its_reason_and_what_to_try():
    said = KIND.explain(sick("vanishing-sigmoid"), KIND.options()).yours
    assert "Gradients vanish: ×0.24 per layer" in said
    assert "no accident" in said
    assert "Try: ReLU with He weights." in said
    assert KIND.explain(healthy(), KIND.options()).yours.startswith("Nothing is found. Nearest to a threshold:")


def test_nobody_is_examined_whose_network_is_not_known():
    lane = replace(scene("normal").lanes[0], setup=None)
    assert "not known" in build(Scene((lane,), 39)).empty


def test_charts_show_the_thresholds():
    shown = sick("frozen-large-weights", steps=40)
    ratios = FIGURES["update-ratio"]
    lines = [m for m in ratios.build(shown, ratios.options()).plots[0].marks if isinstance(m, Rule)]
    assert {(1e-5, "hardly learns"), (0.05, "too long steps")} <= {(line.at, line.label) for line in lines}
    gradients = FIGURES["gradients"]
    labels = {m.label for m in gradients.build(shown, gradients.options()).plots[0].marks if not isinstance(m, Note)}
    assert "neither vanishing nor exploding" in labels
    plain = gradients.build(shown, gradients.options(healthy=False)).plots[0].marks
    assert "neither vanishing nor exploding" not in {m.label for m in plain if not isinstance(m, Note)}
