"""Which kinds of data have a dialog that shows what is in the file before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QWidget

from layerscope.core.data.base import DataSet
from layerscope.core.data.csv import Csv
from layerscope.core.fields import build, describe


def _table(data: DataSet, folder: Path | None, parent: QWidget | None) -> Any:
    from .table import TableDialog

    assert isinstance(data, Csv)
    return TableDialog(data, folder, parent)


# kind of data -> makes the dialog, whose `data` is the answer
IMPORTERS: dict[type[DataSet], Callable[[DataSet, Path | None, QWidget | None], Any]] = {Csv: _table}


def kind_for(path: str) -> DataSet | None:
    """What a file could be data of, by its name; None where it is no data file that one knows."""
    name = Path(path).name.lower()
    for kind in DataSet.registry:
        for field in describe(kind):
            if any(name.endswith(pattern.lstrip("*").lower()) for pattern in field.files if pattern.startswith("*.")):
                return build(DataSet, {"kind": kind.kind_name(), field.name: path})
    return None
