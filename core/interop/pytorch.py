"""An experiment as a PyTorch program: a module with named layers, torch.optim, and a training loop written out."""

from __future__ import annotations

import re
from typing import ClassVar

from .model import ModelScript
from .script import IMPORT_MATH, LOAD_TRACE, Place, Subject, indented, text_of

TENSOR = '''
def tensor(name):
    """An array of the trace as a tensor."""
    return torch.tensor(trace[name], dtype=torch.get_default_dtype())
'''

IMAGES = '''
def images(name):
    """Images of the trace, (samples, height, width, channels), as PyTorch wants them: channels before height."""
    return tensor(name).permute(0, 3, 1, 2)
'''


class PyTorchScript(ModelScript):
    """Writes PyTorch code; channels are axis 1 of a batch."""

    framework: ClassVar[str] = "pytorch"
    package: ClassVar[str] = "torch"

    def __init__(self, subject: Subject):
        super().__init__(subject)
        self.uses_functional = False

    # --- what kinds call

    def functional(self, call: str) -> str:
        """A call of a function in torch.nn.functional."""
        self.uses_functional = True
        return f"F.{call}"

    def flat(self, x: str, here: Place) -> str:
        """The samples as vectors: images in the trace's order, (height, width, channels)."""
        return f"{x}.permute(0, 2, 3, 1).flatten(1)" if here.is_image else x

    def groups(self, strength: float) -> str:
        """The parameters in two groups, so that the weights alone decay."""
        self.needs_weights = True
        self.before(
            f"""
            groups = [
                {{"params": [p[name] for name in p if name in weights], "weight_decay": {self.number(strength)}}},
                {{"params": [p[name] for name in p if name not in weights], "weight_decay": 0.0}},
            ]
            """
        )
        return "groups"

    def subtract(self, target: str, expression: str) -> str:
        return f"{target}.sub_({expression})"

    def assign(self, target: str, expression: str) -> str:
        return f"{target}.copy_({expression})"

    def copies(self, name: str) -> str:
        return f"{{name: w.detach().clone() for name, w in {name}.items()}}"

    # --- the program

    def program(self) -> str:
        experiment, subject = self.experiment, self.subject
        self.network()
        self.update()
        self.rate_function()
        loss = experiment.loss.to_pytorch(self, "y", "t")
        asked = experiment.loss.to_pytorch(self, "y", "t_validation")
        begin, every, after = self.watch()
        self.define(TENSOR)
        is_image = len(subject.plan.shape) == 3
        if is_image:
            self.define(IMAGES)
        turned = self._turned()

        precision = experiment.training.precision
        lines = self.about(f"PyTorch 2 and NumPy, and computes with {precision}")
        lines += [IMPORT_MATH.strip()]
        lines += ["from pathlib import Path", "", "import numpy as np", "import torch", "from torch import nn"]
        if self.uses_functional:
            lines += ["from torch.nn import functional as F"]
        lines += ["", f"torch.set_default_dtype(torch.{precision})"]
        lines += [*LOAD_TRACE, "", *self.top(), "", ""]
        lines += ["class Network(nn.Module):", "    def __init__(self):", "        super().__init__()"]
        lines += indented(self.constructor, 2)
        lines += ["", f"    def forward(self, x{self.step_argument}):", *indented(self.body, 2), "        return x"]
        load = "images" if is_image else "tensor"
        lines += ["", "", f'x_train, t_train = {load}("x_train"), tensor("t_train")']
        if self.evaluates:
            lines += [f'x_validation, t_validation = {load}("x_validation"), tensor("t_validation")']
        lines += [
            "# rows of every minibatch; -1 where the last one of an epoch is shorter",
            'batches = trace["batches"]',
        ]
        lines += self._masks()
        lines += ["", "model = Network()", *self.parameters_text(), "", "# start from the weights of the trace"]
        lines += ["with torch.no_grad():", f"    for name, w in {self.loaded}:", *indented(turned, 2)]
        lines += ["", *self.before_text(), *begin]
        if self.evaluates:
            ask = [
                "model.eval()",
                *self.guarded(["y = model(x_validation)", f"loss = {asked}"]),
                "model.train()",
            ]
            lines += ["", "", *self.evaluation_text(ask), ""]
        lines += ["", f"for step in range({subject.steps}):", *indented(self._step(loss, every))]
        if after:
            lines += ["", *after]
        return text_of(lines, self.definitions)

    def _turned(self) -> list[str]:
        """How an array of the trace gets into the parameter `w`."""
        shapes = {q.shape for c in self.subject.plan.cards for q in c.parameters}
        lines = ["value = tensor(name)"]
        if any(len(shape) == 2 for shape in shapes):
            lines += ["if value.ndim == 2:  # a dense layer: (inputs, outputs) there, (outputs, inputs) here"]
            lines += ["    value = value.T"]
        if any(len(shape) == 3 for shape in shapes):
            lines += [
                "if value.ndim == 3:  # layer norm of images: (height, width, channels) there, channels first here"
            ]
            lines += ["    value = value.permute(2, 0, 1)"]
        if any(len(shape) == 4 for shape in shapes):
            lines += [
                "if value.ndim == 4:  # a convolution: (height, width, in, out) there, (out, in, height, width) here"
            ]
            lines += ["    value = value.permute(3, 2, 0, 1)"]
        if any(c.layer.kind_name() == "weight_norm" for c in self.subject.plan.cards):
            return [
                *lines,
                "w.copy_(value.reshape(w.shape))  # lengths of weight norm: (units,) there, (units, 1) here",
            ]
        return [*lines, "w.copy_(value)"]

    def _masks(self) -> list[str]:
        if not self.masked:
            return []
        lines = ["masks = {  # of dropout, for every step: 1 where a number passes"]
        for here in self.masked:
            turn = ".permute(0, 1, 4, 2, 3)" if here.is_image else ""
            lines.append(f'    "{here.path}": tensor("{here.path}.mask"){turn},')
        return [*lines, "}"]

    def _step(self, loss: str, every: list[str]) -> list[str]:
        penalties, total = self.penalty_text()
        set_rate = ["for group in optimizer.param_groups:", '    group["lr"] = rate']
        update = self.update_text("w.grad", set_rate, ["optimizer.step()"])
        # an optimizer needs no guard of its own; formulas do
        formulas = self.decay or self.behind_lines or re.search(r"\bg\b", "\n".join(self.gradient_lines))
        plain = bool(self.optimizer) and not formulas
        return [
            *every,
            "rows = batches[step][batches[step] >= 0]",
            "x, t = x_train[rows], t_train[rows]",
            f"y = model({'x, step' if self.masked else 'x'})",
            f"loss = {loss}",
            'print(step, f"{loss.item():.9g}")',
            "",
            "model.zero_grad()",
            *penalties,
            f"{total}.backward()",
            *(update if plain else self.guarded(update)),
        ]
