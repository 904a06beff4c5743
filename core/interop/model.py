"""What PyTorch and Keras programs have in common: a network as a class, gradients from the framework, parameters by
name.
"""

from __future__ import annotations

import re

from .script import Place, Script, Subject, indented


class ModelScript(Script):
    """Base of both scripts. The variable `x` carries the signal through the forward pass."""

    def guarded(self, lines: list[str]) -> list[str]:
        return ["with torch.no_grad():", *indented(lines)]  # PyTorch records for both

    def __init__(self, subject: Subject):
        super().__init__(subject)
        self.constructor: list[str] = []
        self.attributes: dict[str, str] = {}  # parameter -> attribute of the network
        self.optimizer = ""

    # --- what kinds call

    def module(self, here: Place, constructor: str, **parameters: str) -> str:
        """A part of the network: `self.layer_3 = constructor`.

        parameters   our name of an array -> its name in the part
        Returns the expression that calls it, without its arguments.
        """
        self.constructor.append(f"self.{here.name} = {constructor}")
        for ours, theirs in parameters.items():
            self.attributes[f"{here.path}.{ours}"] = f"{here.name}.{theirs}"
        return f"self.{here.name}"

    def wrap(self, here: Place, wrapper: str, **parameters: str) -> None:
        """Put a call of `wrapper` around the part that was made last, with other names for its parameters."""
        name, constructor = self.constructor[-1].split(" = ", 1)
        self.constructor[-1] = f"{name} = {wrapper}({constructor})"
        for ours, theirs in parameters.items():
            self.attributes[f"{here.path}.{ours}"] = f"{here.name}.{theirs}"

    def mask(self, here: Place, x: str) -> str:
        """The dropout mask of the present step for the samples in `x`."""
        self.masked.append(here)
        return f'masks["{here.path}"][step, :len({x})]'

    def built_in(self, constructor: str) -> None:
        """An optimizer of the framework whose formula is ours; its rate is set at every step."""
        self.optimizer = constructor

    # --- the parts of the program

    @property
    def step_argument(self) -> str:
        return ", step=None" if self.masked else ""

    def parameters_text(self) -> list[str]:
        """The dictionaries of parameters, and of what layers keep up themselves."""
        lines = ["p = {  # parameters by their names in the trace"]
        lines += [f'    "{name}": model.{self.attributes[name]},' for name in self.trained] + ["}"]
        if self.kept_up:
            lines += ["statistics = {  # what batch norm keeps up for evaluation"]
            lines += [f'    "{name}": model.{self.attributes[name]},' for name in self.kept_up] + ["}"]
        return lines

    @property
    def loaded(self) -> str:
        """What takes its first values from the trace."""
        return f"{self.state}.items()"

    def before_text(self) -> list[str]:
        """What training needs before the first step."""
        lines: list[str] = []
        if self.needs_weights:
            lines += self.names("weights", self.regularized, "what decays: no biases, scales or shifts")
        for name in self.remembered:
            lines.append(f"{name} = {{name: {self.package}.zeros_like(w) for name, w in p.items()}}")
        lines += self.beginning
        if self.optimizer:
            lines.append(f"optimizer = {self.optimizer}")
        return lines

    def evaluation_text(self, ask: list[str]) -> list[str]:
        """The function that measures the loss on the validation samples; `ask` finds it."""
        lines = [*ask, "return loss.item()"]
        if self.experiment.training.averaging is not None:
            swap = "for name in p:"
            lines = [
                "# the averaged weights are asked, not the present ones",
                "present = " + self.copies("p"),
                *self.guarded([swap, "    " + self.assign("p[name]", "average[name]")]),
                *ask,
                *self.guarded([swap, "    " + self.assign("p[name]", "present[name]")]),
                "return loss.item()",
            ]
        return ["def validation_loss():", *indented(lines)]

    def penalty_text(self) -> tuple[list[str], str]:
        """The penalties, and what is differentiated."""
        lines: list[str] = []
        for index, (what, expression) in enumerate(self.penalties):
            lines += [f"# {what}", f"penalty {'+=' if index else '='} {expression}"]
        return lines, "(loss + penalty)" if lines else "loss"

    def update_text(self, gradient: str, set_rate: list[str], take: list[str]) -> list[str]:
        """From gradients to weights.

        gradient   the expression of the gradient of the parameter `w`
        set_rate   how an optimizer of the framework is told the rate
        take       how it takes a step
        """
        lines: list[str] = []
        formulas = "\n".join([*self.gradient_lines, *self.optimizer_lines, *take])
        if re.search(r"\bg\b", formulas):
            lines.append(f"g = {{name: {gradient} for name, w in p.items()}}")
        lines += self.gradient_lines
        rate = "rate"
        if self.optimizer_lines or self.rate_changes:
            lines.append(f"rate = {self.rate}")
        else:
            rate = "LEARNING_RATE"
        if self.decay:
            shrunk = f"p[name] * (1 - {rate} * {self.number(self.decoupled)})"
            lines += ["# decoupled weight decay: weights shrink beside what the optimizer does", "for name in weights:"]
            lines.append("    " + self.assign("p[name]", shrunk))
        if self.optimizer:
            if self.rate_changes:
                lines += set_rate
            lines += take
        return [*lines, *self.optimizer_lines, *self.behind_lines]
