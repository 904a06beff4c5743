"""Every lesson runs, its claims hold, and its files are there."""

import pytest

from layerscope.core import cli
from layerscope.core.experiment import load, schema, to_json
from layerscope.core.lessons import LESSONS
from layerscope.core.lessons.base import Claim, Lesson
from layerscope.core.network import plan


@pytest.mark.parametrize("name", LESSONS.names())
def test_a_lesson_keeps_what_it_says(name, tmp_path, capsys):
    lesson = LESSONS[name]
    assert cli.main(["lesson", name, "--out", str(tmp_path), "--format", "png"]) == 0
    out = capsys.readouterr().out
    assert out.count("holds") == len(lesson.claims)
    figures = sorted(tmp_path.glob("*.png"))
    assert len(figures) >= 4
    assert all(path.stat().st_size > 5000 for path in figures)
    for letter, experiment in zip("abcd", lesson.lanes, strict=False):
        assert load(tmp_path / f"{name}-{letter}.json") == experiment


@pytest.mark.parametrize("name", LESSONS.names())
def test_a_lesson_is_complete(name):
    lesson = LESSONS[name]
    assert lesson.name == name
    assert lesson.title
    assert len(lesson.sentences) == 3
    assert lesson.claims
    for experiment in lesson.lanes:
        assert not plan(experiment).problems


def test_a_claim_that_fails_is_an_exit_code(monkeypatch, tmp_path, capsys):
    lesson = LESSONS["vanishing-gradients"]
    false = Claim("the moon is made of cheese", lambda runs: float("nan"), 0.0, 1.0)
    broken = Lesson(lesson.name, lesson.label, lesson.sentences, lesson.lanes[:1], 2, (false,), ("gradients",))
    monkeypatch.setitem(LESSONS._kinds, lesson.name, broken)
    assert cli.main(["lesson", lesson.name, "--out", str(tmp_path), "--format", "svg"]) == 1
    assert "FAILS" in capsys.readouterr().out


def test_the_sample_file_is_lane_a_of_the_lesson():
    from importlib import resources

    file = resources.files("layerscope.sample_data") / "vanishing-gradients.json"
    assert file.read_bytes() == to_json(LESSONS["vanishing-gradients"].lanes[0])


def test_schema_names_every_layer():
    assert schema()["$defs"]["Layer"]["anyOf"]
