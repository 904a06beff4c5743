"""The command line: train, draw, check and teach where there is no screen, from the same files and with the same
numbers.

Wrong input ends with one clear line on standard error and exit code 2; nothing is half-written.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import InputError
from .text import N_, _, ngettext

if TYPE_CHECKING:
    from .data.base import Data, Outline
    from .experiment import Experiment
    from .network import Card, Plan
    from .run import Run
    from .theory.mean_field import LayerPrediction

COMMANDS = ("run", "figure", "check", "schema", "lesson", "code", "benchmark")
WRONG_INPUT = 2
WIDE = 140  # characters of a table that is not shown on a terminal
MOST_FINDINGS = 2  # causes that are printed behind a training
CHUNK = 64  # steps between two movements of the progress bar


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}; " + _("see: {program} --help").format(program=self.prog) + "\n")
        raise SystemExit(WRONG_INPUT)


def main(argv: Sequence[str] | None = None, open_window: Callable[[str | None], int] | None = None) -> int:
    """Run the program; the exit code. `open_window` is called with a file or None when a window is wanted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or (words[0] not in COMMANDS and not words[0].startswith("-")):
            return _window(words, open_window)
        options = _parser().parse_args(words)
        return int(options.command(options))
    except InputError as error:
        sys.stderr.write(f"layerscope: {error}\n")
        return WRONG_INPUT
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("layerscope: " + _("stopped") + "\n")
        return 130


def _window(words: list[str], open_window: Callable[[str | None], int] | None) -> int:
    if len(words) > 1:
        raise InputError(
            _("{count} files given; open one, or use a command: {commands}").format(
                count=len(words), commands=", ".join(COMMANDS)
            )
        )
    path = words[0] if words else None
    if path is not None and not Path(path).is_file():
        from .errors import nearest

        meant = nearest(path, list(COMMANDS))
        hint = _('; did you mean the command "{meant}"?').format(meant=meant) if meant else ""
        raise InputError(_("there is no such file{hint}").format(hint=hint), "", path)
    if open_window is None:
        raise InputError(_("this installation has no window"))
    return open_window(path)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="layerscope",
        description=_("Build a neural network layer by layer and see what happens inside while it trains."),
        epilog=_("Without a command: open the window, with FILE if one is given."),
    )
    parser.add_argument("--version", action="version", version=f"layerscope {metadata.version('layerscope')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    run = commands.add_parser("run", help=_("train with no window and save everything that was measured"))
    run.add_argument("file", metavar="FILE", help=_("experiment file (.json)"))
    length = run.add_mutually_exclusive_group()
    length.add_argument("--steps", type=_count, metavar="N", help=_("how many minibatches"))
    length.add_argument("--epochs", type=_count, metavar="N", help=_("how many times through the training data"))
    _add_settings(run)
    run.add_argument(
        "--trace", action="store_true", help=_("also save all that another program needs to repeat the run")
    )
    run.add_argument("--out", metavar="DIR", required=True, help=_("folder for the results"))
    run.set_defaults(command=_run)

    figure = commands.add_parser("figure", help=_("draw figures of an experiment or of the folder of a run"))
    figure.add_argument("source", metavar="FILE|DIR", help=_("experiment file (trained first) or folder of a run"))
    figure.add_argument("names", metavar="NAME", nargs="+", help=_("figures, or all"))
    figure.add_argument(
        "--step", type=_count_or_zero, metavar="N", help=_("the step to show; the last one if left out")
    )
    figure.add_argument(
        "--option",
        dest="options",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help=_("an option of the figures, as in the panel's menu, for example layers=all; may be repeated"),
    )
    _add_settings(figure)
    _add_look(figure, "pdf")
    figure.add_argument("--out", metavar="DIR", required=True, help=_("folder for the figures"))
    figure.set_defaults(command=_figure)

    check = commands.add_parser("check", help=_("show shapes and expected signal, check the gradients, ask the doctor"))
    check.add_argument("file", metavar="FILE", help=_("experiment file (.json)"))
    _add_settings(check)
    check.set_defaults(command=_check)

    schema = commands.add_parser("schema", help=_("print the JSON Schema of experiment files"))
    schema.set_defaults(command=_schema)

    lesson = commands.add_parser("lesson", help=_("run a lesson: its figures and the table of its claims"))
    lesson.add_argument("name", metavar="NAME", nargs="?", help=_("the lesson; without it, the lessons are listed"))
    lesson.add_argument("--all", action="store_true", help=_("every lesson"))
    _add_look(lesson, "pdf,png")
    lesson.add_argument("--out", metavar="DIR", help=_("folder for the figures"))
    lesson.set_defaults(command=_lesson)

    code = commands.add_parser("code", help=_("write the experiment as a program in PyTorch, Keras or NumPy"))
    code.add_argument("file", metavar="FILE", help=_("experiment file (.json)"))
    code.add_argument("--framework", metavar="NAME", required=True, help=_("pytorch, keras or numpy"))
    code.add_argument("--steps", type=_count, metavar="N", default=50, help=_("how many minibatches; 50 if left out"))
    _add_settings(code)
    code.add_argument(
        "--out", metavar="FILE", required=True, help=_("the program; what it reads is written beside it (.trace.npz)")
    )
    code.set_defaults(command=_code)

    benchmark = commands.add_parser("benchmark", help=_("measure how fast this program is on this machine"))
    benchmark.add_argument(
        "workloads", metavar="WORKLOAD", nargs="*", help=_("networks to measure; all of them if left out")
    )
    benchmark.add_argument(
        "--peers", metavar="PYTHON", help=_("a Python that has PyTorch, Keras or scikit-learn, to compare with")
    )
    benchmark.add_argument("--rounds", type=_count, metavar="N", default=7, help=_("how often each side works; 7"))
    benchmark.add_argument("--out", metavar="FILE", help=_("also write every number into this file (.json)"))
    benchmark.set_defaults(command=_benchmark)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help=_("change a setting, for example training.optimizer.learning_rate=0.01; may be repeated"),
    )
    parser.add_argument("--seed", type=_count_or_zero, metavar="S", help=_("another seed, another run"))


def _add_look(parser: argparse.ArgumentParser, formats: str) -> None:
    from .figures.export import FORMATS, PRESETS, THEMES

    parser.add_argument(
        "--format", default=formats, metavar=",".join((*FORMATS, "csv")), help=_("file formats, with commas between")
    )
    parser.add_argument("--preset", choices=list(PRESETS), default="slide", help=_("size and text size"))
    parser.add_argument("--theme", choices=list(THEMES), default="light", help=_("colors"))


def _count(text: str) -> int:
    value = _count_or_zero(text)
    if value == 0:
        raise argparse.ArgumentTypeError(_("must be a whole number of 1 or more, not {text}").format(text=text))
    return value


def _count_or_zero(text: str) -> int:
    if not text.isdecimal() or len(text) > 12:
        raise argparse.ArgumentTypeError(_("must be a whole number, not {text}").format(text=text))
    return int(text)


# --- experiments from the command line


def _experiment(path: str, options: argparse.Namespace) -> Experiment:
    from .experiment import load, with_value

    experiment = load(path)
    for setting in options.settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise InputError(_('must be PATH=VALUE, not "{text}"').format(text=setting), "--set")
        try:
            experiment = with_value(experiment, name, _value(text))
        except InputError as error:
            raise InputError(error.problem, error.place, f"--set {name}") from None
    if options.seed is not None:
        experiment = with_value(experiment, "seed", options.seed)
    return experiment


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself: 0.1, true, null, {"kind": "sgd"}, relu."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _started(path: str, options: argparse.Namespace) -> Run:
    from .network import plan
    from .run import Run

    experiment = _experiment(path, options)
    try:
        plan(experiment, folder=Path(path).resolve().parent).require()
        with _Progress(N_("preparing the engine")) as progress:
            return Run(experiment, folder=Path(path).resolve().parent, progress=progress.show)
    except InputError as error:
        raise error.within(path) from None


def _train(run: Run, steps: int, label: str) -> tuple[float, str]:
    """Take the steps with a progress bar; seconds spent, and why it stopped."""
    seconds = 0.0
    with _Progress(label) as progress:
        while run.step < steps:
            begin = time.perf_counter()
            run.advance(min(CHUNK, steps - run.step))
            seconds += time.perf_counter() - begin
            progress.show(run.step, steps)
            if run.finished:
                break
    run.validate()
    if run.failed:
        return seconds, _("a number is not finite at step {step}").format(step=run.failed_step)
    if run.stopped:
        return seconds, _("early stopping at step {step}, the validation loss no longer improved").format(
            step=run.stopped_step
        )
    return seconds, _("all steps done")


class _Progress:
    """A progress bar on standard error; nothing where that is not a terminal."""

    def __init__(self, label: str):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(_(label), total=None)

    def say(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def show(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()


def _console() -> Any:
    from rich.console import Console

    # names are shown as they are: brackets in them are not styles
    return Console(highlight=False, soft_wrap=True, markup=False)


# --- the commands


def _run(options: argparse.Namespace) -> int:
    from . import results
    from .files import folder_for

    run = _started(options.file, options)
    steps = options.steps or (options.epochs or run.experiment.training.epochs) * run.steps_per_epoch
    folder = folder_for(options.out)
    trace = results.begin_trace(run) if options.trace else None
    seconds, stopped = _train(run, steps, N_("training"))
    failed = run.failed
    run.measure_last()
    run.take_best()
    results.save(run, folder, seconds, stopped, trace)
    summary = results.summary(run, seconds, stopped)
    line = _(
        "{steps:,} steps in {seconds:.2f} s ({rate:,.0f} steps/s); "
        "loss {loss}; validation accuracy {accuracy}; {stopped}"
    )
    print(
        line.format(
            steps=summary["steps"],
            seconds=seconds,
            rate=summary["steps_per_second"] or 0,
            loss=_short(summary["loss"]),
            accuracy=_short(summary["validation_accuracy"]),
            stopped=stopped,
        )
    )
    if summary["weights_step"] != run.first_step + summary["steps"]:
        print(_("the weights are those of step {step}, the best").format(step=summary["weights_step"]))
    if "averaging" in summary:
        print(
            _("averaged: validation loss {loss}, accuracy {accuracy}; without: {plain_loss}, {plain_accuracy}").format(
                loss=_short(summary["validation_loss"]),
                accuracy=_short(summary["validation_accuracy"]),
                plain_loss=_short(summary["plain_validation_loss"]),
                plain_accuracy=_short(summary["plain_validation_accuracy"]),
            )
        )
    _report(summary["findings"])
    print(_("saved in {folder}").format(folder=options.out))
    if failed:
        _warn(options.file, run)
    return 0


def _report(findings: Sequence[Mapping[str, Any]]) -> None:
    """The doctor's first causes, each with what to try; what follows from them is only counted."""
    causes = [finding for finding in findings if not finding["follows_from"]][:MOST_FINDINGS]
    for finding in causes:
        print(_("doctor: {headline}").format(headline=finding["headline"]))
        for proposal in finding["proposals"][:1]:
            print("  " + _("try: {proposal}").format(proposal=proposal["text"]))
    more = len(findings) - len(causes)
    if more:
        sentence = ngettext("{count} more finding in run.json", "{count} more findings in run.json", more)
        print("  " + sentence.format(count=more))


def _warn(file: str, run: Run) -> None:
    """Say what ended the training: the operation, the cause, what to try."""
    from .diagnostics.autopsy import examine

    found = examine(run)
    if found is None:  # the numbers that were put there by hand are gone
        sys.stderr.write(
            f"layerscope: {file}: " + _("a number is not finite at step {step}").format(step=run.failed_step) + "\n"
        )
        return
    first, *rest = found.report()
    sys.stderr.write(f"layerscope: {file}: {first}\n" + "".join(f"  {line}\n" for line in rest))


def _short(value: float | None) -> str:
    return _("none") if value is None else f"{value:.4g}"


def _figure_names(names: Sequence[str]) -> list[str]:
    from .figures.figure import FIGURES

    if "all" in names:
        return FIGURES.names()
    for name in names:
        FIGURES.get(name, "figure")
    return list(dict.fromkeys(names))


def _formats(text: str) -> list[str]:
    from .errors import nearest
    from .figures.export import FORMATS

    known = (*FORMATS, "csv")
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    for name in chosen:
        if name not in known:
            meant = nearest(name, list(known))
            hint = _('; did you mean "{meant}"?').format(meant=meant) if meant else ""
            raise InputError(
                _('"{name}" is not a known format; known: {known}{hint}').format(
                    name=name, known=", ".join(known), hint=hint
                ),
                "--format",
            )
    if not chosen:
        raise InputError(_("names no format; known: {known}").format(known=", ".join(known)), "--format")
    return chosen


def _figure(options: argparse.Namespace) -> int:
    from .figures.scene import scene_from_folder, scene_of
    from .files import folder_for

    names, formats = _figure_names(options.names), _formats(options.format)
    chosen = _figure_options(names, options.options)
    studies = _needed(chosen)
    source = Path(options.source)
    if source.is_dir():
        if options.settings or options.seed is not None:
            raise InputError(
                _("--set and --seed need an experiment file to train; this is the folder of a finished run"),
                "",
                options.source,
            )
        with _Progress(N_("training again")) as progress:
            scene = scene_from_folder(source, options.step, studies, progress.show)
        recorded = scene.lanes[0].view.kept_steps
        if options.step is not None and (not len(recorded) or options.step > recorded[-1] + scene.lanes[0].view.stride):
            last = int(recorded[-1]) if len(recorded) else 0
            raise InputError(
                _("step {step} is not recorded; the record ends at step {last}").format(step=options.step, last=last),
                "--step",
                options.source,
            )
    else:
        run = _started(options.source, options)
        steps = run.last_step if options.step is None else options.step
        _train(run, steps, N_("training"))
        if run.failed:
            _warn(options.source, run)
        scene = scene_of([("A", "", run)], studies=studies)
    folder = folder_for(options.out)
    for path in _draw(scene, chosen, formats, folder, options):
        print(path)
    return 0


def _figure_options(names: Sequence[str], settings: Sequence[str]) -> dict[str, Any]:
    """The options of every figure by its name: as they are at first, but for what NAME=VALUE says of those that have
    such an option.
    """
    import msgspec

    from .fields import build, describe
    from .figures.figure import FIGURES

    values: dict[str, dict[str, Any]] = {name: {} for name in names}
    for setting in settings:
        option, equals, text = setting.partition("=")
        if not equals or not option:
            raise InputError(_('must be NAME=VALUE, not "{text}"').format(text=setting), "--option")
        owners = [name for name in names if option in {field.name for field in describe(FIGURES[name].options)}]
        if not owners:
            known = sorted({field.name for name in names for field in describe(FIGURES[name].options)})
            raise InputError(
                _('no figure asked for has an option "{name}"; known: {known}').format(
                    name=option, known=", ".join(known) or _("none")
                ),
                "--option",
            )
        for name in owners:
            field = next(field for field in describe(FIGURES[name].options) if field.name == option)
            # a text is taken as it stands: a layer may be called 3
            values[name][option] = text if field.sort in ("text", "choice") else _value(text)
    made: dict[str, Any] = {}
    for name in names:
        kind = FIGURES[name].options
        try:
            made[name] = build(kind, {**msgspec.to_builtins(kind()), **values[name]})
        except InputError as error:
            raise InputError(error.problem, error.place, "--option") from None
    return made


def _needed(chosen: Mapping[str, Any]) -> tuple[Any, ...]:
    """The studies whose answers these figures draw."""
    from .figures.figure import FIGURES

    return tuple(dict.fromkeys(study for name, given in chosen.items() for study in FIGURES[name].needs(given)))


def _draw(
    scene: Any, chosen: Mapping[str, Any], formats: Sequence[str], folder: Path, options: argparse.Namespace
) -> list[Path]:
    from .figures.export import save
    from .figures.figure import FIGURES

    written = []
    with _Progress(N_("drawing")) as progress:
        for done, (name, given) in enumerate(chosen.items()):
            progress.show(done, len(chosen))
            figure = FIGURES[name].build(scene, given)
            for form in formats:
                written.append(save(figure, folder / f"{name}.{form}", form, options.preset, options.theme))
    return written


def _check(options: argparse.Namespace) -> int:
    from rich import box
    from rich.table import Table

    from .diagnostics.gradient_check import check_gradients
    from .network import plan
    from .theory.mean_field import predictions_for

    experiment = _experiment(options.file, options)
    data = None
    try:
        layout = plan(experiment, folder=Path(options.file).resolve().parent)
        if not any(place.startswith("data") for place, _problem in layout.problems):
            data = experiment.data.load(experiment.seed, Path(options.file).resolve().parent)
            layout = plan(experiment, data.outline)
        layout.require()
    except InputError as error:
        raise error.within(options.file) from None
    assert data is not None
    console = _console()
    if not console.is_terminal:
        console.width = WIDE  # nothing is cut off in a file
    table = Table(title=experiment.name or options.file, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(_("layer"), no_wrap=True)
    table.add_column(_("kind"))
    drawn_columns = _("output"), _("parameters"), _("std W"), _("n Var W")
    for label in (*drawn_columns, _("expected rms"), _("gradient factor"), _("gradient")):
        table.add_column(label, justify="right")
    expected = {p.path: p for p in predictions_for(layout, data, experiment.training.batch_size)}
    with _Progress(N_("preparing the engine")) as progress:
        drawn = _weights(experiment, data, progress)
    for depth, card in _outer_first(layout.cards):
        signal = expected.get(card.path)
        table.add_row(
            "  " * depth + card.path,
            card.layer.title(),
            "×".join(map(str, card.shape or ())),
            f"{card.parameter_count:,}",
            *(_known(number) for number in drawn.get(card.path, (math.nan, math.nan))),
            _known(signal.rms if signal else math.nan),
            _known(signal.gradient_factor if signal else math.nan),
            _known(signal.gradient_norm if signal else math.nan),
        )
    console.print(table)
    console.print(
        _("{count:,} parameters; input {shape}; {task}; {train} training and {validation} validation samples").format(
            count=layout.parameter_count,
            shape="×".join(map(str, layout.shape)),
            task=_task(layout.outline),
            train=len(data.x_train),
            validation=len(data.x_validation),
        )
    )
    console.print(
        _(
            "W as drawn, n inputs a unit; expected before training: rms of outputs, by what the layer multiplies the "
            "gradient's norm on its way back, and that norm (last layer: 1)"
        )
    )
    for sentence in _theory_said(layout, list(expected.values())):
        console.print(sentence)
    with _Progress(N_("checking gradients")):
        checked = check_gradients(experiment, data)
    worst = max(checked, key=lambda c: c.error)
    passed = all(c.passed for c in checked)
    console.print(
        _(
            "gradient check in float64: {verdict}, {compared} numbers compared, {skipped} at kinks skipped, "
            "largest relative error {error:.1e} ({name})"
        ).format(
            verdict=_("passed") if passed else _("FAILED"),
            compared=sum(c.compared for c in checked),
            skipped=sum(c.skipped for c in checked),
            error=worst.error,
            name=worst.name,
        )
    )
    for sentence in _before_training(experiment, data):
        console.print(sentence)
    return 0 if passed else 1


def _before_training(experiment: Experiment, data: Data) -> list[str]:
    """What the doctor says of the network as it is drawn, on the first minibatch, with what to try."""
    import msgspec

    from .diagnostics.doctor import diagnosis_of
    from .diagnostics.rules.base import all_rules
    from .run import Run

    alone = msgspec.structs.replace(experiment.training, averaging=None, early_stopping=None)
    rules = all_rules()
    found = diagnosis_of(Run(msgspec.structs.replace(experiment, training=alone), data), rules).findings
    if not found:
        return [
            ngettext(
                "doctor: {rules} rule finds nothing before training",
                "doctor: {rules} rules find nothing before training",
                len(rules),
            ).format(rules=len(rules))
        ]
    said = []
    for finding in found:
        if finding.follows_from:
            said.append("  " + _("and so: {headline}").format(headline=finding.headline))
        else:
            said.append(_("doctor: {headline}").format(headline=finding.headline))
            said += ["  " + _("try: {proposal}").format(proposal=proposal.text) for proposal in finding.proposals[:1]]
    return said


def _theory_said(layout: Plan, expected: Sequence[LayerPrediction]) -> list[str]:
    """What theory says of the whole network: the gradient at the first layer, how deep it may be, what is not known."""
    from .figures.edge_of_chaos import standing_text
    from .figures.scales import number_text
    from .theory.criticality import chain_of

    said = []
    if len(expected) > 1 and math.isfinite(expected[0].gradient_norm):
        low, high = expected[0].gradient_band()
        said.append(
            _(
                "expected before training: the gradient at the first layer has {ratio} times the norm of that at the "
                "last, {low} to {high} in 19 of 20 networks of this width"
            ).format(ratio=number_text(expected[0].gradient_norm), low=number_text(low), high=number_text(high))
        )
    reasons = dict.fromkeys(p.why for p in expected if p.why)
    for why in reasons:
        paths = ", ".join(p.path for p in expected if p.why == why)
        said.append(_("no theory for layers {paths}: {why}").format(paths=paths, why=why))
    chain = chain_of(layout)
    if chain.obstacle:
        said.append(
            _("no depth scales, which are about equal layers one after the other: {why}").format(why=chain.obstacle)
        )
    said += [standing_text(at, chain.depth) for at in chain.standings if not chain.obstacle]
    return said


def _weights(experiment: Experiment, data: Data, progress: _Progress) -> dict[str, tuple[float, float]]:
    """(std, n Var) of the weights of every layer as they are drawn, by the layer's path; n inputs meet a unit."""
    import msgspec
    import numpy as np

    from .run import Run

    alone = msgspec.structs.replace(experiment.training, averaging=None, early_stopping=None)
    run = Run(msgspec.structs.replace(experiment, training=alone), data, record=False, progress=progress.show)
    found = {}
    for card in run.program.plan.cards:
        values = {p.name: run.parameter(t) for t in run.program.tensors for p in (t.parameter,) if t.path == card.path}
        weights = card.layer.weights(values)
        if weights is not None:
            fan_in = next(p.fan_in for p in card.parameters if p.weight)
            std = float(np.std(weights, dtype=np.float64))
            found[card.path] = std, fan_in * std * std
    return found


def _outer_first(cards: Sequence[Card]) -> list[tuple[int, Card]]:
    """(depth, card) with every block above the layers inside of it."""
    found: list[tuple[int, Card]] = []
    for card in cards:
        inside = [i for i, (_depth, other) in enumerate(found) if other.path.startswith(f"{card.path}.")]
        found = [(depth + (i in inside), other) for i, (depth, other) in enumerate(found)]
        found.insert(inside[0] if inside else len(found), (0, card))
    return found


def _known(number: float) -> str:
    """A number that a table shows; a dash where there is none."""
    return "–" if math.isnan(number) else f"{number:.3g}"


def _task(outline: Outline) -> str:
    if outline.is_regression:
        return ngettext("{count} value to predict", "{count} values to predict", outline.targets).format(
            count=outline.targets
        )
    return ngettext("{count} class", "{count} classes", outline.targets).format(count=outline.targets)


def _benchmark(options: argparse.Namespace) -> int:
    import shutil

    from .benchmark.compare import Compared, compare, own_sides, peer_sides, report
    from .benchmark.workloads import WORKLOADS
    from .files import write_whole

    known = {one.name: one for one in WORKLOADS}
    for name in options.workloads:
        if name not in known:
            raise InputError(
                _('there is no workload "{name}"; known: {known}').format(name=name, known=", ".join(known))
            )
    sides = own_sides() + (peer_sides(options.peers, shutil.which("node")) if options.peers else [])
    chosen = [known[name] for name in options.workloads] or list(WORKLOADS)
    found: list[Compared] = []
    console = _console()
    for one in chosen:
        with _Progress(N_("measuring")) as progress:
            found.append(compare(one, sides, options.rounds, said=progress.say))
        console.print(_timed(found[-1]))
    written = report(found, options.rounds)
    console.print(
        _(
            "{cpu}, {cores} cores; medians of {rounds} rounds, sides in turn, each at its better number of threads"
        ).format(cpu=written["cpu"], cores=written["cores"], rounds=options.rounds)
    )
    if options.out:
        write_whole(Path(options.out), (json.dumps(written, indent=1, ensure_ascii=False) + "\n").encode())
        print(options.out)
    return 0


def _timed(one: Any) -> Any:
    """The table of one workload."""
    from rich import box
    from rich.table import Table

    goals = {"PyTorch with the same statistics": one.workload.hooks, "PyTorch bare": one.workload.bare}
    table = Table(
        title=f"{one.workload.name}: {_(one.workload.label)}; " + _("batch {batch}").format(batch=one.workload.batch),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        caption=_("load {before:.1f} to {after:.1f}").format(before=one.load[0], after=one.load[1]),
        caption_justify="right",
    )
    table.add_column("")
    for title in (_("µs/step"), _("spread"), _("threads"), _("we are"), _("goal")):
        table.add_column(title, justify="right")
    for name, timed in one.sides.items():
        goal = f"{goals[name]:g}×" if name in goals else ""
        ratio = f"{one.ratio(name):.2f}×" if name != "ours" and "ours" in one.sides else ""
        table.add_row(_(name), f"{1e6 * timed.median:,.1f}", f"±{timed.spread:.0%}", str(timed.threads), ratio, goal)
    for name, reason in one.missing.items():
        table.add_row(_(name), _("not here: {reason}").format(reason=reason), "", "", "", "")
    return table


def _schema(options: argparse.Namespace) -> int:
    from .experiment import schema

    print(json.dumps(schema(), indent=2, ensure_ascii=False))
    return 0


def _lesson(options: argparse.Namespace) -> int:
    from .lessons import LESSONS

    if options.name is None and not options.all:
        for lesson in LESSONS:
            print(f"{lesson.name}: {lesson.title}")
        return 0
    if options.name is not None and options.all:
        raise InputError(_("give a lesson or --all, not both"))
    if options.out is None:
        raise InputError(_("say where the figures go, for example --out exports"), "--out")
    formats = _formats(options.format)
    names = LESSONS.names() if options.all else [options.name]
    lessons = [LESSONS.get(name, "lesson") for name in names]
    failed = 0
    for lesson in lessons:
        folder = Path(options.out) / lesson.name if options.all else Path(options.out)
        failed += _teach(lesson, formats, folder, options)
    return 1 if failed else 0


def _teach(lesson: Any, formats: Sequence[str], folder: Path, options: argparse.Namespace) -> int:
    """Run a lesson's lanes, write its figures and experiments, print its claims; how many failed."""
    from rich.table import Table

    from .experiment import to_json
    from .figures.scene import scene_of
    from .files import folder_for, write_whole
    from .lanes import NAMES, difference
    from .run import Run

    folder = folder_for(folder)
    runs = []
    for experiment in lesson.lanes:
        with _Progress(N_("preparing the engine")) as progress:
            run = Run(experiment, progress=progress.show)
        _train(run, lesson.steps, N_("training"))
        runs.append(run)
    first = lesson.lanes[0]
    lanes = [(name, difference(first, run.experiment), run) for name, run in zip(NAMES, runs, strict=False)]
    verdicts = lesson.check(runs)
    chosen = _figure_options(lesson.figures, ())
    for path in _draw(scene_of(lanes, studies=_needed(chosen)), chosen, formats, folder, options):
        print(path)
    for name, _label, run in lanes:
        write_whole(folder / f"{lesson.name}-{name.lower()}.json", to_json(run.experiment))
    console = _console()
    console.print(lesson.text)
    table = Table(title=lesson.title, title_justify="left")
    table.add_column(_("claim"))
    table.add_column(_("measured"), justify="right")
    table.add_column(_("must be"), justify="right")
    table.add_column("")
    for verdict in verdicts:
        claim = verdict.claim
        table.add_row(
            _(claim.says),
            f"{verdict.measured:.4g}",
            f"{claim.low:.4g} … {claim.high:.4g}",
            _("holds") if verdict.holds else _("FAILS"),
        )
    console.print(table)
    return sum(not verdict.holds for verdict in verdicts)


def _code(options: argparse.Namespace) -> int:
    from .interop.export import FRAMEWORKS, check_exportable, export, trace_path

    FRAMEWORKS.get(options.framework, "--framework")
    out = Path(options.out)
    trace_path(out)
    try:
        check_exportable(_experiment(options.file, options))
        run = _started(options.file, options)
        program = export(run, options.framework, options.steps)
    except InputError as error:
        raise error if error.place.startswith("--") else error.within(options.file) from None
    for path in program.save(out):
        print(path)
    return 0
