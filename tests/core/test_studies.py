"""Studies: every one leaves the run as it was, and answers for every sort of network or says that it cannot."""

import numpy as np
import pytest
from experiments import act, conv, dense, experiment

from layerscope.core.experiment import Experiment, build
from layerscope.core.figures.figure import FIGURES
from layerscope.core.figures.scene import scene_of
from layerscope.core.run import Run
from layerscope.core.studies.base import Answer, Study, answer, answers

DROPOUT = {"kind": "dropout", "rate": 0.3}
NORM = {"kind": "batch_norm"}


def toy(kind, *layers, loss="softmax_cross_entropy", **data):
    return build(
        Experiment,
        {
            "data": {"kind": kind, "samples": 60, **data},
            "network": list(layers),
            "loss": {"kind": loss},
            "training": {"batch_size": 16, "optimizer": {"kind": "adam", "learning_rate": 0.01}},
        },
    )


NETWORKS = {
    "points": toy("circles", dense(6), act("tanh"), dense(2)),
    "values": toy("regression", dense(6), act("relu"), dense(1), loss="mse"),
    "images": experiment(conv(4), act("relu"), {"kind": "max_pool"}, {"kind": "flatten"}, dense(10)),
    "tricks": experiment(dense(8), NORM, act("relu"), DROPOUT, {"kind": "residual", "body": [dense(8)]}, dense(10)),
    "one layer": experiment(dense(10)),
    "averaged": experiment(dense(8), act("tanh"), dense(10), averaging={"kind": "ema", "decay": 0.9}),
}


def state(run):
    """All that a later step depends on, and all that was recorded."""
    machine = run.machine
    standing = (run.step, run.row, run.finished)
    view = run.record.view()
    return (
        standing,
        machine.kept.tobytes(),
        machine.hyper.tobytes(),
        machine.context.tobytes(),
        machine.arena.tobytes() if run.row else b"",
        view.block.tobytes(),
        len(view.details),
        len(run.record.validation),
        tuple(run.checkpoints.steps),
    )


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", Study.registry.names())
def test_a_study_leaves_the_run_as_it_was(name, network):
    run, other = Run(NETWORKS[network]), Run(NETWORKS[network])
    study = Study.registry[name]()
    for steps, operations in ((0, 0), (5, 0), (0, 4)):
        for each in (run, other):
            each.advance(steps)
            for _ in range(operations):
                each.operation_forward()
        before = state(run)
        found = answer(study, run)
        assert isinstance(found, Answer)
        assert found.step == run.step
        assert state(run) == before
    run.advance(4)
    other.advance(4)
    assert run.machine.kept.tobytes() == other.machine.kept.tobytes()
    assert run.record.view().block.tobytes() == other.record.view().block.tobytes()


@pytest.mark.parametrize("name", Study.registry.names())
def test_the_same_question_has_the_same_answer(name):
    first, second = (Run(NETWORKS["points"]) for _ in range(2))
    for run in (first, second):
        run.advance(3)
    study = Study.registry[name]()
    for run in (first, second):
        found = answers([study, Study.registry[name]()], run)
        assert len(found) == 1
    assert repr(answer(study, first)) == repr(answer(study, second))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", [kind.name for kind in FIGURES if kind.needs(kind.options())])
def test_figures_draw_the_answers_of_every_network(name, network):
    kind = FIGURES[name]
    options = kind.options()
    run = Run(NETWORKS[network])
    for steps in (0, 1, 6):
        run.advance(steps)
        for studies in ((), kind.needs(options)):
            figure = kind.build(scene_of([("A", "", run)], studies=studies), options)
            assert figure.plots or figure.empty
            assert all(np.ndim(column) == 1 for column in figure.table.values())
            assert all(kind.explain(scene_of([("A", "", run)], studies=studies), options).__dict__.values())
