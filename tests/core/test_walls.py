"""The walls of the architecture: the core knows no window, only the engine knows the compiler, kinds do not know each
other.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core"
FILES = sorted(CORE.rglob("*.py"))
FAMILIES = ("layers", "gradient_steps", "data", "figures", "lessons")
SHARED = {"base", "moments", "__init__"}  # no kinds, but what kinds have in common


def imports(path: Path) -> list[str]:
    """Absolute names of everything that a file of the core imports, wherever in the file."""
    package = ["layerscope", "core", *path.relative_to(CORE).parts[:-1]]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module or "") if part)
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CORE)))
def test_the_core_imports_no_window(path):
    for name in imports(path):
        assert not name.startswith(("PySide6", "pyqtgraph", "superqt", "layerscope.desktop")), name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CORE)))
def test_only_the_engine_imports_numba(path):
    if path.parent.name != "engine":
        assert not [name for name in imports(path) if name.split(".")[0] in ("numba", "llvmlite")]


@pytest.mark.parametrize(
    "family", ["layers", "losses", "gradient_steps", "schedules", "lessons", "studies", "diagnostics/rules"]
)
def test_kinds_of_one_family_do_not_import_each_other(family):
    kinds = {p.stem for p in (CORE / family).glob("*.py")} - SHARED
    for kind in kinds:
        package = family.replace("/", ".")
        others = {f"layerscope.core.{package}.{other}" for other in kinds - {kind}}
        assert not others & set(imports(CORE / family / f"{kind}.py"))


def test_no_qt_and_no_compiler_until_it_is_needed():
    script = (
        "import importlib, pkgutil, sys, layerscope.core as core\n"
        "names = [m.name for m in pkgutil.walk_packages(core.__path__, 'layerscope.core.')]\n"
        "names = [n for n in names if not n.endswith(('intrinsics', 'matplotlib_painter'))]\n"
        "[importlib.import_module(n) for n in names]\n"
        "late = ('PySide6', 'pyqtgraph', 'numba', 'matplotlib', 'scipy', 'rich')\n"
        "print([n for n in late if n in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_every_kernel_is_compiled_to_tell_a_nan():
    from layerscope.core.engine.kernel import OPTIONS

    assert not {"nnan", "ninf", "fast"} & OPTIONS["fastmath"]
    assert OPTIONS["error_model"] == "numpy"
    sources = [p.read_text() for p in FILES]
    assert not [s for s in sources if "fastmath=True" in s.replace("`", "").split('"""')[-1] or "parallel=True" in s]


def test_every_module_begins_with_a_sentence():
    for path in FILES:
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text, path
        assert text.splitlines()[0].rstrip().endswith((".", ":", ",", "?")) or "\n" in text, path
