"""Studies in the window: answered while somebody looks, at the step that is shown; the demanded ones when asked."""

from typing import ClassVar

import numpy as np
import pytest

from layerscope.core.studies.base import Study
from layerscope.desktop import worker as work

TIMEOUT = 20_000


class Sum(Study, frozen=True, kw_only=True, tag="test_sum"):
    """The sum of all parameters: another one at every step."""

    def answer(self, run):
        return float(np.sum(run.machine.kept[: run.program.parameter_count]))


class Slow(Study, frozen=True, kw_only=True, tag="test_slow"):
    demanded: ClassVar[bool] = True
    pieces: int = 5

    def work(self, run):
        for piece in range(self.pieces):
            yield piece / self.pieces
        return run.step


class Broken(Study, frozen=True, kw_only=True, tag="test_broken"):
    def answer(self, run):
        raise RuntimeError("no")


def answer(session, study, lane=0):
    found = session.scene.lanes[lane].study(study) if session.scene is not None else None
    return None if found is None else (found.step, found.value)


def at(session, step):
    return session.exact and session.position == step and not session.playing


def test_a_study_is_answered_for_the_step_that_is_shown(qtbot, session):
    session.want("me", (Sum(),))
    qtbot.waitUntil(lambda: answer(session, Sum()) is not None, timeout=TIMEOUT)
    assert answer(session, Sum())[0] == 0
    session.forward("epoch")
    qtbot.waitUntil(
        lambda: at(session, session.position) and answer(session, Sum())[0] == session.position > 0, timeout=TIMEOUT
    )
    later = answer(session, Sum())
    session.scrub(0)
    qtbot.waitUntil(lambda: at(session, 0) and answer(session, Sum())[0] == 0, timeout=TIMEOUT)
    session.scrub(later[0])
    qtbot.waitUntil(lambda: at(session, later[0]) and answer(session, Sum()) == later, timeout=TIMEOUT)


def test_nothing_is_computed_that_nobody_looks_at(qtbot, session):
    session.want("me", (Sum(),))
    session.want("you", (Sum(), Broken()))
    qtbot.waitUntil(lambda: answer(session, Sum()) is not None, timeout=TIMEOUT)
    session.want("me", ())
    session.want("you", ())
    session.forward("minibatch")
    qtbot.waitUntil(lambda: at(session, 1), timeout=TIMEOUT)
    assert answer(session, Sum()) is None


def test_studies_go_on_while_playing(qtbot, session):
    session.want("me", (Sum(),))
    session.set_speed(20.0)
    session.play()
    seen = set()

    def several():
        found = answer(session, Sum())
        if found is not None:
            seen.add(found[0])
        return len(seen) > 2 or not session.playing

    qtbot.waitUntil(several, timeout=TIMEOUT)
    session.pause()
    assert len(seen) > 1


@pytest.mark.filterwarnings("ignore")
def test_a_study_that_fails_does_not_end_the_training(qtbot, session, caplog):
    session.want("me", (Broken(), Sum()))
    session.forward("minibatch")
    qtbot.waitUntil(lambda: at(session, 1) and answer(session, Sum()) is not None, timeout=TIMEOUT)
    assert answer(session, Broken()) == (1, None)
    assert not session.failure
    assert sum("study" in record.message for record in caplog.records) == 1  # said once, not thirty times a second


def test_what_takes_long_is_answered_when_it_is_asked_for(qtbot, session):
    study = Slow()
    session.forward("minibatch")
    qtbot.waitUntil(lambda: at(session, 1), timeout=TIMEOUT)
    assert answer(session, study) is None
    session.demand((study,))
    qtbot.waitUntil(lambda: answer(session, study) == (1, 1), timeout=TIMEOUT)
    session.forward("minibatch")
    qtbot.waitUntil(lambda: at(session, 2), timeout=TIMEOUT)
    assert answer(session, study) == (1, 1)  # it stays, and says of which step it is


def test_what_takes_long_is_given_up_when_the_moment_changes(qtbot, session):
    study = Slow(pieces=100_000_000)
    qtbot.waitUntil(lambda: at(session, 0), timeout=TIMEOUT)
    session.demand((study,))
    qtbot.waitUntil(lambda: session.studying is not None, timeout=TIMEOUT)
    session.forward("minibatch")
    qtbot.waitUntil(lambda: at(session, 1) and session.studying is None, timeout=TIMEOUT)
    assert answer(session, study) is None
    session.demand((study,))
    qtbot.waitUntil(lambda: session.studying is not None, timeout=TIMEOUT)
    assert session.close(), "a study must not keep the window open"


def test_every_lane_answers(qtbot, session):
    session.want("me", (Sum(),))
    session.add_lane()
    session.forward("minibatch")
    qtbot.waitUntil(
        lambda: at(session, 1) and len(session.scene.lanes) == 2 and answer(session, Sum(), 1) is not None,
        timeout=TIMEOUT,
    )
    assert answer(session, Sum(), 0) == answer(session, Sum(), 1)


def test_commands_that_only_ask_are_no_news_for_a_failure():
    assert {work.Want, work.Demand} <= set(work.Command.__args__)
