"""Digits: 1,797 handwritten digits of 8 by 8 pixels, real data small enough to train on during a lecture."""

from __future__ import annotations

import zipfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..text import N_, _
from .base import DataSet, Outline, Samples, plain

FILE = "digits.npz"


@DataSet.registry.add("digits")
class Digits(DataSet, frozen=True, kw_only=True, tag="digits"):
    """Images (8, 8, 1) with values 0 (paper) to 16 (ink) and ten classes; see sample_data/README.md for the source."""

    label: ClassVar[str] = N_("Handwritten digits")

    def outline(self, folder: Path | None = None) -> Outline:
        return Outline((8, 8, 1), 10, tuple("0123456789"))

    def collect(self, seed: int, folder: Path | None) -> Samples:
        images, labels = _read()
        return Samples(plain(images[..., np.newaxis]), labels.astype(np.int64), tuple("0123456789"))


@cache
def _read() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(images (1797, 8, 8), labels (1797,)) from the file that comes with the program."""
    file = resources.files("layerscope.sample_data").joinpath(FILE)
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return archive["images"], archive["labels"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            _("the sample data of the program is missing or damaged ({reason}); install Layerscope again").format(
                reason=error
            ),
            "",
            FILE,
        ) from None
