"""The figures: one file each. A new one is a new file here; nothing else needs an edit."""

import importlib
import pkgutil

from .figure import FIGURES as FIGURES

# In the order in which a person should meet them; whatever else there is follows.
_FIRST = (
    *("signal", "gradients", "over_time", "learning_curves", "doctor", "waterfall", "update_ratio", "histograms"),
    *("predictions", "units", "microscope", "edge_of_chaos", "train_eval_twin", "landscape", "curvature", "chain"),
)
# Imported when something is exported: Matplotlib takes longer to load than the window.
_LATER = ("matplotlib_painter",)

_found = {module.name for module in pkgutil.iter_modules(__path__)}
for _name in (*(name for name in _FIRST if name in _found), *sorted(_found.difference(_FIRST, _LATER))):
    importlib.import_module(f"{__name__}.{_name}")
