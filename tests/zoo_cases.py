"""The zoo: sick networks in sample_data/zoo, an experiment file each, and what must be said of them.

A case is two files of one name: `sample_data/zoo/NAME.json`, the experiment, and `tests/zoo/NAME.json`, the verdict:

first     name of the rule whose finding is the first cause
steps     how long the network is trained, and the cured one and the twin as well
from      the first step at which the first cause must be right; the number of steps if left out
twin      path -> value: how the healthy twin differs. "every init" is that setting of all layers that have it
gone      whether the finding must be gone with the first proposal after as many steps; true if left out
accuracy  what the network with the first proposal must reach on the validation samples; nothing if left out
allowed   rules whose warnings may stand in the healthy twin; none if left out
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layerscope.core.diagnostics.proposal import settings_named
from layerscope.core.experiment import Experiment, load, with_value

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "sample_data" / "zoo"


@dataclass(frozen=True)
class Case:
    """One sick network; see the module's text."""

    name: str
    first: str
    steps: int
    since: int
    twin: dict[str, Any]
    gone: bool = True
    accuracy: float | None = None
    allowed: tuple[str, ...] = field(default=())

    @property
    def experiment(self) -> Experiment:
        return load(FOLDER / f"{self.name}.json")

    @property
    def healthy(self) -> Experiment:
        """The twin."""
        found = self.experiment
        for path, value in self.twin.items():
            places = [path]
            if path.startswith("every "):
                places = [place for place, _value in settings_named(found, path.removeprefix("every "))]
            for place in places:
                found = with_value(found, place, value)
        return found


def case(path: Path) -> Case:
    """The case in a verdict's file."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    plain["since"] = plain.pop("from", plain["steps"])
    plain["allowed"] = tuple(plain.pop("allowed", ()))
    return Case(name=path.stem, **plain)


CASES = tuple(case(path) for path in sorted((ROOT / "tests" / "zoo").glob("*.json")))
