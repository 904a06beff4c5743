"""An experiment as a Keras program: a keras.Model with named layers and a training loop written out."""

from __future__ import annotations

from typing import ClassVar

from .model import ModelScript
from .script import IMPORT_MATH, LOAD_TRACE, Place, indented, text_of

NOTE = (
    "Keras has no way to take gradients that is the same with all of its backends, so this program chooses one of "
    "them, PyTorch; the model and the formulas of the update are keras and keras.ops throughout. Where an optimizer of "
    "Keras computes something else than the experiment does, its formula is written out."
)
NOTE_FLOAT64 = (
    "Keras takes products and means in float32 with this backend even when it is told to use float64: losses agree to "
    "about six digits."
)


class KerasScript(ModelScript):
    """Writes Keras code; channels are the last axis, as in the trace."""

    framework: ClassVar[str] = "keras"
    package: ClassVar[str] = "ops"

    # --- what kinds call

    def flat(self, x: str, here: Place) -> str:
        """The samples as vectors."""
        return f"ops.reshape({x}, (len({x}), -1))" if here.is_image else x

    def subtract(self, target: str, expression: str) -> str:
        return f"{target}.assign_sub({expression})"

    def assign(self, target: str, expression: str) -> str:
        return f"{target}.assign({expression})"

    def copies(self, name: str) -> str:
        return f"{{name: ops.copy(w) for name, w in {name}.items()}}"

    # --- the program

    def program(self) -> str:
        experiment, subject = self.experiment, self.subject
        self.network()
        self.update()
        self.rate_function()
        loss = experiment.loss.to_keras(self, "y", "t")
        asked = experiment.loss.to_keras(self, "y", "t_validation")
        begin, every, after = self.watch()

        precision = experiment.training.precision
        notes = [NOTE, NOTE_FLOAT64] if precision == "float64" else [NOTE]
        head = self.about(f"Keras 3, PyTorch and NumPy, and computes with {precision}", notes)
        head += [IMPORT_MATH.strip(), "import os"]
        head += ["from pathlib import Path", "", 'os.environ["KERAS_BACKEND"] = "torch"', ""]
        head += ["import keras", "import numpy as np", "import torch"]

        lines = ["", f'keras.config.set_floatx("{precision}")']
        lines += [*LOAD_TRACE, "", *self.top(), "", ""]
        lines += ["class Network(keras.Model):", "    def __init__(self):", "        super().__init__()"]
        lines += indented(self.constructor, 2)
        lines += ["", f"    def call(self, x, training=False{self.step_argument}):"]
        lines += [*indented(self.body, 2), "        return x", "", ""]
        names = ["x_train", "t_train"] + (["x_validation", "t_validation"] if self.evaluates else [])
        lines += [f'{name} = trace["{name}"].astype("{precision}")' for name in names]
        lines += [
            "# rows of every minibatch; -1 where the last one of an epoch is shorter",
            'batches = trace["batches"]',
        ]
        if self.masked:
            lines += ["masks = {  # of dropout, for every step: 1 where a number passes"]
            for here in self.masked:
                lines.append(f'    "{here.path}": ops.convert_to_tensor(trace["{here.path}.mask"], "{precision}"),')
            lines += ["}"]
        lines += ["", "model = Network()", "model(x_train[:1])  # makes the variables", *self.parameters_text(), ""]
        lines += [
            "# start from the weights of the trace",
            f"for name, w in {self.loaded}:",
            "    w.assign(trace[name])",
        ]
        lines += ["", *self.before_text(), *begin]
        if self.evaluates:
            lines += [
                "",
                "",
                *self.evaluation_text(self.guarded(["y = model(x_validation)", f"loss = {asked}"])),
                "",
            ]
        lines += ["", f"for step in range({subject.steps}):", *indented(self._step(loss, every))]
        if after:
            lines += ["", *after]
        used = "\n".join(lines)
        parts = [name for name in ("layers", "ops") if f" {name}." in used or f"({name}." in used]
        if parts:
            head += [f"from keras import {', '.join(parts)}"]
        return text_of([*head, *lines], self.definitions)

    def _step(self, loss: str, every: list[str]) -> list[str]:
        penalties, total = self.penalty_text()
        take = ["optimizer.apply(list(g.values()), list(p.values()))"]
        return [
            *every,
            "rows = batches[step][batches[step] >= 0]",
            "x, t = x_train[rows], t_train[rows]",
            f"y = model({'x, training=True, step=step' if self.masked else 'x, training=True'})",
            f"loss = {loss}",
            'print(step, f"{loss.item():.9g}")',
            "",
            "model.zero_grad()",
            *penalties,
            f"{total}.backward()",
            *self.guarded(self.update_text("w.value.grad", ["optimizer.learning_rate = rate"], take)),
        ]
