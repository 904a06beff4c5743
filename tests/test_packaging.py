"""What is installed is what is in the folders, and what is locked is what is asked for."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import layerscope

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PYTHONS = ["3.11", "3.12", "3.13"]


def environment(python: str) -> dict[str, str]:
    return {"python_version": python, "python_full_version": f"{python}.0"}


def folder(package: str) -> Path:
    """Return where a package of the list is on disk, as setuptools finds it."""
    mapping = SETUPTOOLS["package-dir"]
    parent = package
    while parent not in mapping:
        parent = parent.rpartition(".")[0]
    return ROOT / mapping[parent] / Path(*package[len(parent) :].split("."))


def locked() -> list[tuple[Requirement, list[str]]]:
    """Return each entry of the lock with its hashes."""
    lines = [line for line in LOCK.splitlines() if line and not line.lstrip().startswith("#")]
    entries = re.split(r"\n(?=\S)", "\n".join(lines))
    return [
        (Requirement(entry.split("\\\n")[0].strip()), re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry))
        for entry in entries
    ]


def requirements() -> list[Requirement]:
    return [Requirement(text) for text in PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]]


# --- Packages ---


def test_every_package_on_disk_is_listed() -> None:
    # Only the listed ones are installed: without this, a forgotten one would be missing for everybody but us.
    listed = {folder(package) for package in SETUPTOOLS["packages"]}
    on_disk = {file.parent for top in ("core", "desktop", "sample_data") for file in (ROOT / top).rglob("__init__.py")}
    assert on_disk == listed


def test_every_source_file_is_in_a_package() -> None:
    without = {
        file.parent.relative_to(ROOT).as_posix()
        for top in ("core", "desktop", "sample_data")
        for file in (ROOT / top).rglob("*.py")
        # what other Pythons run in a comparison of speed is no part of the program
        if not (file.parent / "__init__.py").exists() and file.parent != ROOT / "core/benchmark/peers"
    }
    assert without == set(), "folders with Python files and no __init__.py"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the names of the files in a wheel, built from a copy so that nothing is left in the source."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("core", "desktop", "sample_data"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, copy)
    build = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", build, str(copy)], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(copy / done.stdout.splitlines()[-1]).namelist()


def test_wheel_has_every_file(wheel: list[str]) -> None:
    missing = []
    for package in SETUPTOOLS["packages"]:
        for file in folder(package).glob("*.py"):
            name = f"{package.replace('.', '/')}/{file.name}"
            if name not in wheel:
                missing.append(name)
    for top, data in [
        ("core", "locale"),
        ("core", "benchmark/peers"),
        ("desktop", "resources"),
        ("sample_data", ""),
    ]:
        for file in (ROOT / top / data).rglob("*"):
            name = f"layerscope/{file.relative_to(ROOT).as_posix()}"
            if file.is_file() and "__pycache__" not in file.parts and name not in wheel:
                missing.append(name)
    assert missing == []


def test_wheel_puts_nothing_beside_layerscope(wheel: list[str]) -> None:
    assert {name.split("/")[0] for name in wheel} == {"layerscope", f"layerscope-{layerscope.__version__}.dist-info"}


# --- Version ---


def test_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert layerscope.__version__ == version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = next(
        heading for heading in re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE) if heading != "Unreleased"
    )
    assert newest == version


def test_module_runs_as_the_command_does() -> None:
    done = subprocess.run([sys.executable, "-m", "layerscope", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: layerscope")


def test_import_is_light() -> None:
    # Importing the package, or asking the entry for help, must not cost the second that Qt and Numba take.
    code = "import sys, layerscope.__main__; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("PySide6", "numba", "numpy", "scipy", "matplotlib", "pyqtgraph"):
        assert repr(heavy) not in loaded


# --- Lock ---


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_has_exactly_one_version_of_each_dependency(python: str) -> None:
    for wanted in requirements():
        if wanted.marker and not wanted.marker.evaluate(environment(python)):
            continue
        found = [
            entry
            for entry, _ in locked()
            if canonicalize_name(entry.name) == canonicalize_name(wanted.name)
            and (entry.marker is None or entry.marker.evaluate(environment(python)))
        ]
        assert len(found) == 1, f"{wanted.name} for Python {python}: run make lock"
        (version,) = found[0].specifier
        assert version.operator == "=="
        assert wanted.specifier.contains(version.version), f"{wanted} is locked at {version.version}: run make lock"


def test_lock_has_hashes_and_names_no_index() -> None:
    entries = locked()
    assert len(entries) > 30
    assert [str(entry) for entry, hashes in entries if not hashes] == []
    # A host would bind everybody to one index; with hashes any mirror will do.
    assert "://" not in LOCK
    assert "--index-url" not in LOCK


# --- PySide6 on Python 3.11 ---


@pytest.mark.parametrize("python", PYTHONS)
def test_broken_pyside_is_kept_out(python: str) -> None:
    allowed = all(
        wanted.specifier.contains("6.12.0")
        for wanted in requirements()
        if wanted.name == "PySide6-Essentials" and (not wanted.marker or wanted.marker.evaluate(environment(python)))
    )
    assert allowed == (python != "3.11")


def test_qt_leaves_references_to_none_alone() -> None:
    # PySide6 6.12.0 loses one with every call, and the process aborts when none is left. An import or a first window
    # works all the same. Where None is immortal the count never changes.
    pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError, reason="Qt cannot be loaded")
    code = """
import sys
from PySide6.QtWidgets import QApplication
application = QApplication([])
before = sys.getrefcount(None)
for _ in range(1000):
    application.processEvents()
print(sys.getrefcount(None) - before)
"""
    offscreen = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=offscreen)
    assert done.returncode == 0, done.stderr
    assert abs(int(done.stdout)) < 100
