"""Run exported programs of random experiments and compare what they print with our own record.

    python tests/oracles/check_exports.py --torch-python PYTHON [--count 30] [--first 0]

PYTHON is one with PyTorch, Keras and NumPy. PyTorch is compared in float64 (relative 1e-6), NumPy too (1e-9), Keras in
float32 (1e-3); 50 steps each. Experiments whose loss does not stay finite, or is made of rounding errors (float32
changes it by more than itself), are left out and counted. Where rounding alone, float32 instead of float64, changes our
own losses by more than a ten-thousandth (the column "rounding"), no program in float32 can repeat them: Keras is not
compared there, and one experiment more is taken. (Keras on PyTorch computes matrix products in float32 whatever it is
told, so float64 is no way out.) Prints a table; exit code 1 when a program differs or a kind was in none of them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from random_experiments import all_kinds, kinds_in, random_experiment

from layerscope.core.errors import InputError
from layerscope.core.interop.export import export
from layerscope.core.network import plan
from layerscope.core.run import Run

STEPS = 50
TOLERANCES = {"pytorch": 1e-6, "keras": 1e-3, "numpy": 1e-9}
MOST_ROUNDING = 1e-4
PRECISIONS = {"pytorch": "float64", "keras": "float32", "numpy": "float64"}


def printed(python: str, path: Path) -> np.ndarray:
    """What a program prints, with all digits: (lines, 2), the losses of the steps and then those of evaluations."""
    source = path.read_text().replace(":.9g}", ":.17g}")
    found = 'found = validation_loss(); __import__("sys").stderr.write(f"FOUND {step} {found:.17g}\\n")'
    path.write_text(source.replace("found = validation_loss()", found))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [python, "-W", "error::RuntimeWarning", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "failed")
    evaluated = [line.removeprefix("FOUND ") for line in done.stderr.splitlines() if line.startswith("FOUND ")]
    lines = [*done.stdout.splitlines(), *evaluated]
    return np.array([line.split() for line in lines], dtype=np.float64).reshape(-1, 2)


def recorded(run: Run) -> np.ndarray:
    """The same of ours; evaluations where a program evaluates too."""
    run.advance(STEPS)
    view = run.record.view(whole=True)
    losses = np.column_stack([view.kept_steps, view.values("loss")])
    if "found = validation_loss()" not in export(run, "numpy", 1).source:
        return losses
    end = run.stopped_step if run.stopped_step is not None else STEPS - 1
    evaluated = [row[:2] for row in run.record.validation if 0 < row[0] <= end]
    return np.concatenate([losses, np.array(evaluated).reshape(-1, 2)])


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest relative difference of the losses; infinite when other steps were taken."""
    if ours.shape != theirs.shape or not (ours[:, 0] == theirs[:, 0]).all():
        return float("inf")
    return float(np.max(np.abs(ours[:, 1] - theirs[:, 1]) / np.abs(ours[:, 1])))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--torch-python", required=True)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", choices=list(TOLERANCES))
    options = parser.parse_args()
    frameworks = [options.only] if options.only else list(TOLERANCES)
    seen, failed, left_out, sensitive, number, count = set(), 0, 0, 0, options.first, 0
    print(
        f"{'number':>6} {'layers':>6} {'optimizer':>20} {'schedule':>18} "
        + " ".join(f"{f:>10}" for f in ("rounding", *frameworks))
    )
    folder = Path(tempfile.mkdtemp(prefix="exports-"))
    while count < options.count:
        experiment = random_experiment(number)
        number += 1
        try:
            cards = plan(experiment)
            cards.require()
        except InputError as error:
            print(f"{number - 1:6} {error}")
            failed += 1
            continue
        runs = {precision: Run(random_experiment(number - 1, precision)) for precision in ("float32", "float64")}
        ours = {precision: recorded(run) for precision, run in runs.items()}
        if not all(np.isfinite(losses).all() for losses in ours.values()):
            left_out += 1
            continue
        rounding = difference(ours["float64"], ours["float32"])
        if rounding > 1.0:
            # Nothing but rounding is left: weights that start at zero make all samples alike, and one batch norm after
            # the other enlarges what rounding makes of equal numbers (gradient norms of 1e8 at the first step).
            print(f"{number - 1:6} {len(cards.cards):6} {'its loss is made of rounding errors':>50} {rounding:10.1e}")
            left_out += 1
            continue
        seen |= kinds_in(experiment)
        count += rounding <= MOST_ROUNDING
        sensitive += rounding > MOST_ROUNDING
        cells = [f"{rounding:10.1e}"]
        for framework in frameworks:
            path = folder / f"{framework}_{number - 1}.py"
            precision = PRECISIONS[framework]
            if precision == "float32" and rounding > MOST_ROUNDING:
                cells.append(f"{'-':>10}")
                continue
            export(runs[precision], framework, STEPS).save(path)
            python = sys.executable if framework == "numpy" else options.torch_python
            try:
                off = difference(ours[precision], printed(python, path))
                cells.append(f"{off:10.1e}")
                wrong = not off <= TOLERANCES[framework]
            except RuntimeError as error:
                cells.append(f" {path}: {error}")
                wrong = True
            if wrong:
                failed += 1
                cells[-1] += " !"
        training = experiment.training
        kinds = f"{training.optimizer.kind_name():>20} {training.schedule.kind_name():>18}"
        print(f"{number - 1:6} {len(cards.cards):6} {kinds} {' '.join(cells)}", flush=True)
    missing = sorted(all_kinds() - seen)
    print(f"{count} experiments compared, {sensitive} more magnify rounding, {left_out} without a loss are left out")
    print(f"{failed} programs failed; kinds in none of the experiments: {missing or 'none'}")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
