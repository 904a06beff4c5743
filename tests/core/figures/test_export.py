"""Every figure in every format, theme and situation: written, read back, the same again."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as Xml

import numpy as np
import pytest
from PIL import Image
from scenes import CASES, scene

from layerscope.core.errors import InputError
from layerscope.core.figures.export import (
    FORMATS,
    PRESETS,
    THEMES,
    clean,
    render,
    render_png,
    save,
    save_all,
    table_csv,
)
from layerscope.core.figures.figure import FIGURES, Axis, Figure, Line, Plot, Rule
from layerscope.core.figures.matplotlib_painter import _measured
from layerscope.core.figures.scales import frames

KINDS = FIGURES.names()
USUAL = ("normal", "four lanes")
SVG = "{http://www.w3.org/2000/svg}"
BOLD = re.compile(r"font(-weight)?:[^;]*\b(700|bold)\b")  # and not a color that ends in 700


def figure_of(kind: str, case: str) -> Figure:
    return FIGURES[kind].build(scene(case), FIGURES[kind].options())


def texts_of(svg: bytes) -> list[tuple[str, float, tuple[float, float, float, float]]]:
    """(text, size in points, box on the page: left, top, right, bottom) of everything written in an SVG."""
    found = []
    for element in Xml.fromstring(svg).iter(f"{SVG}text"):
        style = element.get("style", "")
        size = float(re.search(r"font-size: ([\d.]+)px", style).group(1))
        anchor = re.search(r"text-anchor: (\w+)", style)
        text = "".join(element.itertext())
        x, y = float(element.get("x")), float(element.get("y"))
        width = _measured(text, size, "bold" if BOLD.search(style) else "normal") * 72
        left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor.group(1) if anchor else "start"] * width
        found.append((text, size, (left, y - 0.74 * size, left + width, y)))
    return found


def combinations(*others: tuple[str, ...]) -> list[object]:
    """All of (case, kind, *others). Always run: the usual cases with every kind, of the others every second pair, each
    with one of the rest in turn; everything else is slow.
    """
    found: list[object] = []
    for number, (case, kind) in enumerate(itertools.product(CASES, KINDS)):
        for index, rest in enumerate(itertools.product(*others)):
            # the kinds of one case take turns, and so do the cases of one kind
            row = number // len(KINDS)
            turn = (number + row) % math.prod(map(len, others)) == index
            turn &= case in USUAL or (number % len(KINDS) + row) % 2 == 0
            found.append(pytest.param(case, kind, *rest, marks=() if turn else pytest.mark.slow))
    return found


@pytest.mark.parametrize(("case", "kind", "form", "theme"), combinations(FORMATS, tuple(THEMES)))
def test_every_figure_in_every_situation(case, kind, form, theme, tmp_path):
    figure = figure_of(kind, case)
    path = save(figure, tmp_path / f"figure.{form}", form, "slide", theme)
    content = path.read_bytes()
    assert content == render(figure, form, "slide", theme), "exported twice, two different files"
    if form == "png":
        with Image.open(path) as image:
            image.load()
            assert image.size == (1920, 1080)
            assert image.text["Software"] == "Layerscope"
            assert image.text["layerscope:figure"] == kind
            assert image.getpixel((3, 3))[:3] == tuple(bytes.fromhex(THEMES[theme].color("panel")[1:]))
    elif form == "svg":
        root = Xml.fromstring(content)
        assert root.get("viewBox") == "0 0 960 540"
        words = [text for text, _size, _box in texts_of(content)]
        assert figure.title in words
        assert b"date>" not in content
    else:
        assert content.startswith(b"%PDF")
        assert content.rstrip().endswith(b"%%EOF")
        assert b"/FontFile2" in content, "the font is not embedded as TrueType"
        assert b"/Type3" not in content
        assert b"/CreationDate" not in content
        assert b"/Keywords" in content


@pytest.mark.parametrize(("case", "kind", "preset"), combinations(tuple(PRESETS)))
def test_texts_have_their_size_and_lie_apart_and_everything_lies_on_the_page(case, kind, preset):
    svg = render(figure_of(kind, case), "svg", preset)
    root = Xml.fromstring(svg)
    assert_nothing_is_drawn_off_the_page(root)
    width, height = map(float, root.get("viewBox").split()[2:])
    texts = texts_of(svg)
    wanted = PRESETS[preset].text
    sizes = [size for _text, size, _box in texts]
    assert sizes.count(pytest.approx(wanted)) >= 1
    assert min(sizes) >= 0.84 * wanted
    for text, _size, (left, top, right, bottom) in texts:
        assert left >= 0, text
        assert top >= 0, text
        assert right <= width, text
        assert bottom <= height, text
    for i, (one, size, a) in enumerate(texts):
        for other, _size, b in texts[i + 1 :]:
            slack = 0.12 * size
            apart = a[2] <= b[0] + slack or b[2] <= a[0] + slack or a[3] <= b[1] + slack or b[3] <= a[1] + slack
            assert apart, f"{one!r} and {other!r} overlap"


def assert_nothing_is_drawn_off_the_page(root: Xml.Element) -> None:
    width, height = map(float, root.get("viewBox").split()[2:])
    for clip in root.iter(f"{SVG}clipPath"):
        x, y, w, h = (float(clip[0].get(side)) for side in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width + 0.01
        assert 0 <= y <= y + h <= height + 0.01
    in_definitions = {id(path) for definitions in root.iter(f"{SVG}defs") for path in definitions.iter(f"{SVG}path")}
    for path in root.iter(f"{SVG}path"):
        # Markers are defined around the origin and placed elsewhere; what is clipped cannot leave its clip.
        if path.get("clip-path") or id(path) in in_definitions:
            continue
        numbers = re.findall(r"-?[\d.]+(?:e-?\d+)?", path.get("d", ""))
        points = np.array(numbers, dtype=float).reshape(-1, 2)
        if len(points):
            assert points.min() >= -0.01
            assert points[:, 0].max() <= width + 0.01
            assert points[:, 1].max() <= height + 0.01


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_the_table_gives_the_same_numbers_back(case, kind):
    figure = figure_of(kind, case)
    rows = list(csv.DictReader(io.StringIO(table_csv(figure).decode())))
    lengths = {len(column) for column in figure.table.values()}
    assert lengths <= {len(rows)}
    for name, column in figure.table.items():
        for row, value in zip(rows, column.tolist(), strict=True):
            if isinstance(value, float):
                read = float(row[name]) if row[name] else math.nan
                assert read == value or (math.isnan(read) and math.isnan(value))
            else:
                assert row[name] == str(value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_at_the_axes_are_those_that_are_shown_live(kind):
    figure = figure_of(kind, "normal")
    written = {text for text, _size, _box in texts_of(render(figure, "svg"))}
    for plot in figure.plots:
        if plot.pictures is not None:
            continue  # they stand in place of axes
        few, many = frames(plot, 3, 3), frames(plot, 8, 8)
        assert few.x.limits == many.x.limits
        assert few.y.limits == many.y.limits
        if plot.x.ticks == plot.y.ticks == ():
            continue  # an image: its pixels have no numbers
        across = "x" if plot.y.ticks == () else "y"  # rows of text have no numbers beside them
        possible = {tick.text for count in range(2, 9) for tick in getattr(frames(plot, count, count), across).ticks}
        assert len(written & possible) >= 2


def test_several_figures_on_one_page_and_each_in_a_file(tmp_path):
    kinds = KINDS[:4]
    figures = [figure_of(kind, "normal") for kind in kinds]
    written = save_all(figures, tmp_path / "new", ("png", "pdf"), "paper")
    assert sorted(path.name for path in written) == sorted(
        [f"{name}.{form}" for name in (*kinds, "all") for form in ("png", "pdf")]
    )
    with Image.open(tmp_path / "new" / "all.png") as image:
        assert image.width == 2 * round(PRESETS["paper"].width * PRESETS["paper"].dpi)
    page = render(figures, "svg")
    assert {figure.title for figure in figures} <= {text for text, _size, _box in texts_of(page)}


def test_where_there_is_room_for_one_name_the_first_has_it_and_others_keep_theirs():
    rules = tuple(Rule(at, "grid", name, across="x") for at, name in ((20, "best"), (5, "epoch 5"), (20, "epoch 20")))
    x = np.arange(41.0)
    plot = Plot(Axis("step", limits=(0.0, 40.0)), Axis("loss"), (*rules, Line(x, x, "lane-0")))
    shown = {text for text, _size, _box in texts_of(render([Figure("x", "X", "", (plot,))], "svg"))}
    assert {"best", "epoch 5"} <= shown
    assert "epoch 20" not in shown


def test_figures_go_into_a_folder_by_name(tmp_path):
    figure = figure_of("gradients", "normal")
    assert save(figure, tmp_path).name == "gradients.png"
    assert save(figure, tmp_path, "csv").read_bytes() == table_csv(figure)
    assert save(figure, tmp_path / "x.svg").read_bytes().startswith(b"<?xml")


def test_a_png_for_the_clipboard_has_the_resolution_asked_for():
    with Image.open(io.BytesIO(render_png(figure_of("signal", "normal"), dpi=72))) as image:
        assert image.size == (960, 540)


@pytest.mark.parametrize(
    ("form", "preset", "theme", "words"),
    [
        ("gif", "slide", "light", "png, svg, pdf"),
        ("png", "slides", "light", 'did you mean "slide"'),
        ("png", "slide", "dusk", "light, dark"),
    ],
)
def test_unknown_looks_are_refused_with_the_known_ones(form, preset, theme, words):
    with pytest.raises(InputError, match=re.escape(words)):
        render(figure_of("gradients", "normal"), form, preset, theme)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(InputError, match="missing"):
        save(figure_of("gradients", "normal"), tmp_path / "missing" / "x.png")


def test_control_characters_stay_out_of_files():
    assert clean("a\x00b\n\tc\x07") == "a b c"


def test_figures_can_be_built_without_loading_matplotlib():
    code = (
        "import sys; from layerscope.core.figures.figure import FIGURES; FIGURES.names(); "
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
