"""An experiment as a NumPy program: every layer a function, and a second one for the way back, as on a blackboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from .script import IMPORT_MATH, LOAD_TRACE, Place, Script, Subject, indented, quoted, text_of

NOTE = (
    "Every function f(x, ...) has a companion f_backward(dy, x, ...): given the gradient dy of the loss with respect "
    "to the output it returns the gradient with respect to the input, and those of the parameters."
)


class NumpyScript(Script):
    """Writes NumPy code. Values are kept by the path of their layer, `a["2.body.0"]`, because the way back needs them;
    the variable `d` carries the gradient back.
    """

    framework: ClassVar[str] = "numpy"
    package: ClassVar[str] = "np"

    def __init__(self, subject: Subject):
        super().__init__(subject)
        self.stand_ins: dict[tuple[str, str], tuple[str, str]] = {}
        self.back: list[str] = []  # the way back, in the order in which it is gone

    # --- what kinds call

    def call(self, here: Place, x: str, function: str, source: str, *settings: str, back: Sequence[str] = ()) -> str:
        """A layer that is a function `function(x, *settings)` with a companion for the way back.

        source     of both functions
        settings   names of the layer's parameters ("" for a bias that it does not have), or any other expression
        Returns the expression of its output.
        """
        self.define_pair(source)
        own = {q.name for q in here.parameters}
        given, found = [], ["d"]
        for name in settings:
            value, gradient = name or "0.0", "" if name else "_"
            if name in own:
                value, gradient = f'p["{here.path}.{name}"]', f'g["{here.path}.{name}"]'
            value, gradient = self.stand_ins.get((here.path, name), (value, gradient))
            given.append(value)
            found += [gradient] if gradient else []
        arguments = ", ".join([x, *given])
        self.go_back(f"{', '.join(found)} = {function}_backward(d, {arguments})")
        return f"{function}({arguments})"

    def stand_in(self, here: Place, name: str, value: str, gradient: str) -> None:
        """What the layer that is wrapped takes for its parameter, and where its gradient goes."""
        self.stand_ins[here.path, name] = value, gradient

    def define_pair(self, source: str) -> None:
        """Functions that stand one after the other in a text."""
        for part in ("\n" + source.strip()).split("\ndef ")[1:]:
            self.define("def " + part)

    def go_back(self, *lines: str) -> None:
        """Lines of the way back of the present layer; what was written before is gone through behind them."""
        self.back[:0] = lines

    def value(self, path: str) -> str:
        return f'a["{path}"]'

    def mask(self, here: Place, x: str) -> str:
        """The dropout mask of the present step for the samples in `x`."""
        self.masked.append(here)
        return f'masks["{here.path}"][step, : len({x})]'

    def layer(self, path: str, x: str = "x", into: str = "x") -> None:
        layer, here = self.place(path)
        expression = layer.to_numpy(self, here, x)
        if expression != self.value(path):
            self.line(f"{self.value(path)} = {expression}")

    def run_chain(self, members: Sequence[str], x: str) -> tuple[str, list[str]]:
        """Write layers one after the other; the value that comes out, and their way back."""
        kept, self.back = self.back, []
        for path in members:
            self.layer(path, x)
            x = self.value(path)
        back, self.back = self.back, kept
        return x, back

    def subtract(self, target: str, expression: str) -> str:
        return f"{target} = {target} - {expression}"

    def assign(self, target: str, expression: str) -> str:
        return f"{target} = {expression}"

    def copies(self, name: str) -> str:
        return f"dict({name})"

    # --- the program

    def program(self) -> str:
        experiment, subject = self.experiment, self.subject
        _x, self.back = self.run_chain(self.paths, "x")
        last = self.paths[-1]
        loss, back = experiment.loss.to_numpy(self, self.value(last), "t")
        self.update()
        self.rate_function()
        begin, every, after = self.watch()

        notes = [NOTE]
        if experiment.training.precision != "float64":
            notes.append("It computes with float64, the experiment with float32: losses agree to about six digits.")
        lines = self.about("NumPy", notes)
        lines += [IMPORT_MATH.strip()]
        lines += ["from pathlib import Path", "", "import numpy as np", ""]
        lines += [*LOAD_TRACE, "", *self.top()]
        step = ", step" if self.masked else ""
        training = ", training=True" if self.evaluates and self.differs else ""
        arguments = f"x, p{', step=None' if self.masked else ''}{training}"
        lines += ["", "", f"def forward({arguments}):", '    """The output of every layer, by its path."""']
        lines += ["    a = {}", *indented(self.body), "    return a"]
        backs = self.back
        while backs and "g[" not in backs[-1]:
            backs = backs[:-1]
        reads_x = any("(d, x," in line or "(d, x)" in line or " x " in line for line in backs)
        given = f"d, {'x, ' if reads_x else ''}a, p{step}"
        lines += [
            "",
            "",
            f"def backward({given}):",
            '    """The gradient of every parameter, by its name; d: of the output."""',
        ]
        lines += ["    g = {}", *indented(backs), "    return g", "", ""]
        names = ["x_train", "t_train"] + (["x_validation", "t_validation"] if self.evaluates else [])
        lines += [f'{name} = trace["{name}"].astype(np.float64)' for name in names]
        lines += [
            "# rows of every minibatch; -1 where the last one of an epoch is shorter",
            'batches = trace["batches"]',
        ]
        if self.masked:
            lines += ["masks = {  # of dropout, for every step: 1 where a number passes"]
            lines += [f"    {quoted(h.path)}: trace[{quoted(h.path + '.mask')}]," for h in self.masked] + ["}"]
        everything = self.trained + (self.kept_up if self.evaluates else [])
        lines += ["", *self.names("names", everything), "p = {name: trace[name].astype(np.float64) for name in names}"]
        if self.needs_weights:
            lines += self.names("weights", self.regularized, "what decays: no biases, scales or shifts")
        for name in self.remembered:
            lines.append(f"{name} = {{name: np.zeros_like(w) for name, w in p.items()}}")
        lines += [*self.beginning, *begin]
        if self.evaluates:
            averaged = self.experiment.training.averaging is not None
            asked = "{**p, **average}" if averaged else "p"
            evaluated = ", training=False" if training else ""
            question, _back = experiment.loss.to_numpy(self, 'a["' + last + '"]', "t_validation")
            lines += ["", "", "def validation_loss():"]
            lines += [f"    a = forward(x_validation, {asked}{evaluated})", f"    return {question}", "", ""]
        lines += ["", f"for step in range({subject.steps}):"]
        inner = [*every, "rows = batches[step][batches[step] >= 0]", "x, t = x_train[rows], t_train[rows]"]
        inner += [f"a = forward(x, p{step})", f"loss = {loss}", 'print(step, f"{loss:.9g}")', ""]
        inner += [f"d = {back}", f"g = backward({given})"]
        inner += self.gradient_lines
        inner += [f"rate = {self.rate}"]
        if self.decay:
            inner += ["# decoupled weight decay: weights shrink beside what the optimizer does", "for name in weights:"]
            inner += [f"    p[name] = p[name] * (1 - rate * {self.number(self.decoupled)})"]
        inner += [*self.optimizer_lines, *self.behind_lines]
        lines += indented(inner)
        if after:
            lines += ["", *after]
        return text_of(lines, self.definitions)

    @property
    def differs(self) -> bool:
        """Whether some layer does something else in evaluation than in training."""
        return bool(self.masked) or bool(self.kept_up)
