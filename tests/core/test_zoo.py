"""The zoo: every sick network is told by its first cause, and the first proposal cures it."""

from functools import lru_cache

import pytest
from zoo_cases import CASES, FOLDER

from layerscope.core.diagnostics.doctor import Diagnosis, diagnose
from layerscope.core.diagnostics.rules.base import all_rules
from layerscope.core.experiment import Experiment
from layerscope.core.figures.reading import case_of
from layerscope.core.figures.scene import lane_of
from layerscope.core.run import Run

RULES = all_rules()
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@lru_cache(maxsize=64)
def trained(experiment: Experiment, steps: int) -> Run:
    run = Run(experiment, folder=FOLDER)
    run.advance(steps)
    return run


def diagnosis(run: Run, step: int | None = None) -> Diagnosis:
    """What the doctor says at a step; None: at the present position."""
    lane = lane_of(run, step=step)
    case = case_of(lane, run.step if step is None else step)
    assert case is not None
    return diagnose(case, RULES)


def test_every_case_has_its_experiment_and_every_experiment_its_case():
    assert {case.name for case in CASES} == {path.stem for path in FOLDER.glob("*.json")}
    assert len(CASES) >= 9


@by_name
def test_the_first_cause_is_right(case):
    run = trained(case.experiment, case.steps)
    for step in sorted({case.since, (case.since + case.steps) // 2}):
        if step < case.steps:
            found = diagnosis(run, step)
            assert found.first is not None, step
            assert found.first.rule == case.first, (step, [f.rule for f in found.findings])
    found = diagnosis(run)
    assert found.first is not None
    assert found.first.rule == case.first, [(f.rule, f.first_step, f.follows_from) for f in found.findings]
    assert not found.first.follows_from
    assert found.first.evidence
    assert found.first.proposals


@by_name
def test_the_first_proposal_cures(case):
    sick = diagnosis(trained(case.experiment, case.steps)).first
    assert sick is not None
    run = Run(sick.proposals[0].apply(case.experiment), folder=FOLDER)
    run.advance(case.steps)
    assert case.gone or case.accuracy is not None, "a case says what a cure is"
    if case.gone:
        found = diagnosis(run)
        assert case.first not in {finding.rule for finding in found.findings}, found.findings
    if case.accuracy is not None:
        assert trained(case.experiment, case.steps).validate()[1] < case.accuracy, "the sick network is as good"
        assert run.validate()[1] >= case.accuracy


@by_name
def test_the_healthy_twin_is_not_called_sick(case):
    assert case.healthy != case.experiment
    run = Run(case.healthy, folder=FOLDER)
    for step in (0, case.steps):
        run.advance(step - run.step)
        found = {finding.rule: finding.headline for finding in diagnosis(run).findings}
        assert not {rule: said for rule, said in found.items() if rule not in case.allowed}
