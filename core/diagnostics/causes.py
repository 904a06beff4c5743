"""Why a number is none: rules that an autopsy asks one after the other, each with its evidence and what to try.

A rule looks at the remains of the failing step and answers with a cause and proposals, or with None. The order is from
the nearest cause (the data, a setting, a division by zero) to the farthest (weights too large from the start, a
learning rate too large), so that the first that answers is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..editing import layer_at, unwrapped
from ..engine import layout
from ..engine.executor import Machine
from ..engine.precision import FORMATS
from ..errors import InputError
from ..experiment import Experiment, value_at, with_value
from ..fields import describe
from ..guard import Guard
from ..layers.activation import ActivationLayer
from ..text import _
from .autopsy import Autopsy, Cause, Growth, Operand, Remains, exact_sum, layer_name, number
from .proposal import Insert, Proposal, settings_named

Answer = tuple[Cause, tuple[Proposal, ...]]
RuleOfCause = Callable[[Remains, Autopsy], Answer | None]

LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38}
LARGEST["float64"] = float(np.finfo(np.float64).max)
WORKING = {"float64": "float64"}  # what sums are computed in; float32 elsewhere
WIDER = {"float16": "float32", "bfloat16": "float32", "float32": "float64"}
STRETCH = 1.5  # a signal or gradient that every layer multiplies by more is on its way out of every format
TOTAL = 300.0  # if it has grown by as much in all
LARGE = 1e3  # a loss or a number beyond which growth is no learning
STEEP = 1.2  # growth in every step that is no learning
GOOD_UPDATE = 1e-2  # of the weights, at the first step; beyond that nothing is known of what the gradient says
RATE = "training.optimizer.learning_rate"


def cause_of(remains: Remains, found: Autopsy) -> Autopsy:
    """The autopsy with its cause, and the proposals that can be applied to the experiment."""
    for rule in RULES:
        answer = rule(remains, found)
        if answer is not None:
            cause, proposals = answer
            run, exact = remains.run, exact_sum(remains)
            limit = LARGEST[WORKING.get(run.experiment.training.precision, "float32")]
            if exact is not None and abs(exact) > limit:
                sentence = _("The sum that should stand there is {exact}; {precision} ends at {limit}.").format(
                    exact=number(exact),
                    precision=WORKING.get(run.experiment.training.precision, "float32"),
                    limit=number(limit),
                )
                cause = replace(cause, evidence=(sentence, *cause.evidence))
            # A setting that was changed while training is as it should be in the experiment: to set it is no change.
            fitting = tuple(p for p in proposals if cause.kind == "setting" or p.fits(run.experiment))
            return replace(found, cause=cause, proposals=fitting)
    raise AssertionError("the last rule always answers")


# --- what to try


def smaller_rate(remains: Remains) -> Proposal:
    """A learning rate with which the first step changes no weights by more than a hundredth; at most a tenth."""
    now = _rate(remains)
    view = remains.run.record.view(whole=True)
    wanted = now / 10.0
    ratios = view.values("update_ratio")[:1]
    ratios = ratios[np.isfinite(ratios)]
    if len(ratios) and ratios.max() > GOOD_UPDATE and math.isfinite(float(ratios.max())):
        wanted = min(wanted, now * GOOD_UPDATE / float(ratios.max()))
    wanted = float(f"{wanted:.0e}")
    return Proposal(
        _("learning rate {wanted} instead of {now}").format(wanted=number(wanted), now=number(now)), ((RATE, wanted),)
    )


def clipping() -> Proposal:
    return Proposal(
        _("clip the gradient to a norm of 1"), (("training.clipping", {"kind": "global_norm", "threshold": 1.0}),)
    )


def scaled_init(experiment: Experiment) -> Proposal:
    """Weights that keep the signal's size: He before a rectifier, Glorot elsewhere."""
    changes = []
    text = _("draw the weights so that they keep the signal's size")
    kinds = set()
    for path, now in settings_named(experiment, "init"):
        kind = "he_normal" if _rectified(experiment, path) else "glorot_normal"
        kinds.add(kind)
        if isinstance(now, dict) and now.get("kind") != kind:
            changes.append((path, {"kind": kind}))
    names = {"he_normal": "He", "glorot_normal": "Glorot"}
    if kinds:
        text += f" ({', '.join(names[kind] for kind in sorted(kinds, reverse=True))})"
    return Proposal(text, tuple(changes))


def _rectified(experiment: Experiment, path: str) -> bool:
    """Whether what follows the layer with this setting is a function that is zero below zero."""
    steps = path.split(".")
    numbers = [i for i, step in enumerate(steps) if step.isdigit()]
    place, index = steps[: numbers[-1]], int(steps[numbers[-1]])
    following = value_at(experiment, ".".join(place))[index + 1 :]
    for offset, layer in enumerate(following, index + 1):
        if layer.get("muted"):
            continue
        if layer["kind"] == "activation":
            found = layer_at(experiment, ".".join([*place, str(offset)]).removeprefix("network."))
            return isinstance(found, ActivationLayer) and found.function in (
                "relu",
                "leaky_relu",
                "elu",
                "gelu",
                "silu",
            )
        if layer["kind"] not in ("batch_norm", "layer_norm", "dropout", "max_pool", "average_pool"):
            return False
    return False


def normalized(experiment: Experiment) -> Proposal:
    """A batch norm behind every layer with weights but the last one: the size of the signal is the same everywhere."""
    weighted = [
        index
        for index, layer in enumerate(experiment.network)
        if not layer.muted and any(field.name == "init" for field in describe(type(unwrapped(layer))))
    ]
    changes = tuple((f"network.{index + 1}", Insert({"kind": "batch_norm"})) for index in reversed(weighted[:-1]))
    return Proposal(_("put a batch norm behind every layer with weights"), changes)


def precision(kind: str, text: str = "") -> Proposal:
    return Proposal(text or _("compute in {kind}").format(kind=kind), (("training.precision", kind),))


def setting(text: str, path: str, value: Any) -> Proposal:
    return Proposal(text, ((path, value),))


def _rate(remains: Remains) -> float:
    rate = float(remains.line[layout.LEARNING_RATE])
    place = remains.run.program.live[RATE]
    base = float(remains.hyper[place])
    return base if math.isfinite(base) else rate


# --- the rules


def from_data(remains: Remains, found: Autopsy) -> Answer | None:
    """The data themselves, or what becomes of them in a narrower format."""
    if found.role not in ("input", "target"):
        return None
    run = remains.run
    stored = _stored(remains, found)
    if stored is None:
        return None
    name = run.experiment.training.precision
    where = _("sample {sample}").format(sample=found.sample) if found.sample is not None else _("a sample")
    values = (
        setting(_("standardize the inputs"), "data.scaling", "standardize"),
        precision("float32"),
        precision("float64"),
    )
    if not math.isfinite(stored):
        text = _("the data holds a number that is none")
        return Cause("data", text, (_("In the data it is {value} already.").format(value=number(stored)),)), values
    if abs(stored) > LARGEST[name]:
        return (
            Cause(
                "data",
                _("{value} in the data is too large for {precision}").format(value=number(stored), precision=name),
                (
                    _("{where} holds {value}; {precision} ends at {largest}.").format(
                        where=where[:1].upper() + where[1:], value=number(stored), precision=name,
                        largest=number(LARGEST[name]),
                    ),
                ),
            ),
            values,
        )  # fmt: skip
    return None


def _stored(remains: Remains, found: Autopsy) -> float | None:
    """The number in the data that became the result."""
    run = remains.run
    if found.sample is None or found.sample < 0:
        return None
    if found.role == "input":
        return float(run.data.x_train[found.sample].reshape(-1)[_flat(remains, found)])
    encoded = run.experiment.loss.encode(run.data.t_train, run.program.outputs.shape)
    return float(encoded[found.sample].reshape(-1)[_flat(remains, found)])


def _flat(remains: Remains, found: Autopsy) -> int:
    assert remains.region is not None
    return int(np.ravel_multi_index(found.index[1:], remains.region.shape))


def from_setting(remains: Remains, found: Autopsy) -> Answer | None:
    if found.role != "setting":
        return None
    path = found.name or RATE
    value = number(remains.value)
    usual = _usual(remains.run.experiment, path)
    proposals = () if usual is None else (setting(_("set it to {value}").format(value=number(usual)), path, usual),)
    return Cause(
        "setting",
        _("the setting {path} is {value}").format(path=path, value=value),
        (_("Everything that is multiplied by it is {value} or NaN.").format(value=value),),
    ), proposals


def _usual(experiment: Experiment, path: str) -> float | None:
    """The setting in the experiment as written, or where that is no number, what its kind starts with."""
    try:
        written = value_at(experiment, path)
        if isinstance(written, int | float) and math.isfinite(written):
            return float(written)
        family, _dot, name = path.rpartition(".")
        plain = value_at(with_value(experiment, family, value_at(experiment, family)["kind"]), path)
    except (InputError, KeyError, TypeError):
        return None
    return float(plain) if isinstance(plain, int | float) and math.isfinite(plain) else None


def from_the_start(remains: Remains, found: Autopsy) -> Answer | None:
    """What is remembered was no number before the step."""
    if remains.kernel:
        return None
    run, first = remains.run, found.step == remains.run.first_step
    said = (
        _("It was so before the first step: it was drawn like that or put there.")
        if first
        else _("The step before left only finite numbers: it was put there since.")
    )
    inits = [
        path for path, _value in settings_named(run.experiment, "init") if path.startswith(f"network.{found.owner}.")
    ]
    proposals = [
        setting(_("draw the weights from {init}").format(init="Glorot"), p, {"kind": "glorot_normal"}) for p in inits
    ]
    return Cause("start", _("it was {value} before the step began").format(value=number(remains.value)), (said,)), (
        *proposals,
        scaled_init(run.experiment),
    )


def from_precision(remains: Remains, found: Autopsy) -> Answer | None:
    """A number of 16 bits cannot hold what float32 can."""
    name = remains.run.experiment.training.precision
    if name not in FORMATS or remains.kernel not in ("round_values", "round_array", "copy_rounded"):
        return None
    given = _unrounded(remains, found)
    if given is None or not abs(given) > 0:
        return None
    fine = finite_in(remains, "float32")
    evidence = [
        _("Before it was rounded it was {value}; {precision} ends at {largest}.").format(
            value=number(given), precision=name, largest=number(LARGEST[name])
        )
    ]
    deeper = from_weights(remains, found) or from_rate(remains, found)
    if fine:
        evidence.append(_("The same step computed in float32 is finite throughout."))
    elif deeper is not None:
        cause, others = deeper
        return replace(cause, evidence=(*evidence, *cause.evidence)), others
    proposals = [precision("float32")]
    if deeper is not None:
        # In a wider format it would go wrong later.
        evidence += deeper[0].evidence
        proposals[:0] = deeper[1]
    if name == "float16":
        proposals.append(precision("bfloat16", _("compute in bfloat16, which reaches to 3e38")))
    if found.role in ("output gradient", "share", "gradient"):
        proposals.append(
            setting(
                _("scale the loss (dynamic), which passes over steps that overflow"),
                "training.loss_scale",
                {"kind": "dynamic"},
            )
        )
    return Cause(
        "precision",
        _("{value} is too large for {precision}").format(value=number(given), precision=name),
        tuple(evidence),
    ), tuple(proposals)


def _unrounded(remains: Remains, found: Autopsy) -> float | None:
    region = remains.region
    if region is None:
        return None
    if region.role == "copy":
        tensor = next(
            t for t in remains.run.program.tensors if t.path == region.path and t.parameter.name == region.name
        )
        place = tensor.master + int(np.ravel_multi_index(found.index, region.shape))
        return float(remains.before[place])
    return found.before


def finite_in(remains: Remains, kind: str) -> bool:
    """Whether the step is finite throughout when it is computed in another precision from the same numbers."""
    from ..engine.program import compile_program

    run = remains.run
    experiment = with_value(run.experiment, "training.precision", kind)
    program = compile_program(experiment, run.data)
    if program.kept != run.program.kept:
        return False
    machine = Machine(
        program, run.data.x_train, run.experiment.loss.encode(run.data.t_train, program.outputs.shape), experiment
    )
    machine.threads = run.machine.threads
    machine.kept[:] = remains.kept
    for path, place in program.live.items():
        machine.hyper[place] = remains.hyper[run.program.live[path]]
    line = np.full((1, program.columns), np.nan)
    line[0, layout.LEARNING_RATE] = remains.line[layout.LEARNING_RATE]
    machine.execute(line, remains.step, 0, len(program.table))
    return Guard(program, True).first_wrong(line) is None and bool(np.isfinite(machine.kept).all())


def from_division(remains: Remains, found: Autopsy) -> Answer | None:
    """Something is divided by zero, or by next to nothing."""
    run = remains.run
    path = f"network.{found.path}"
    if (found.role == "inner" and found.name == "1/σ") or (
        remains.kernel in ("batch_norm_forward", "layer_norm_forward")
    ):
        variance = _variance(remains, found)
        epsilon = value_at(run.experiment, f"{path}.epsilon")
        if variance is None or not variance + epsilon < 1e-30:
            return None
        samples = run.machine.rows
        return Cause(
            "variance",
            _("the variance is {variance} and ε is {epsilon}").format(
                variance=number(variance), epsilon=number(epsilon)
            ),
            (
                _("{layer} divides by √(σ² + ε) = √({variance} + {epsilon}).").format(
                    layer=layer_name(run.program, found.path), variance=number(variance), epsilon=number(epsilon)
                ),
                _("All {samples} samples of this minibatch have the same number there.").format(samples=samples)
                if remains.kernel == "batch_norm_forward"
                else _("All numbers of this sample are the same there."),
            ),
        ), (setting(_("ε = 1e-5"), f"{path}.epsilon", 1e-5),)
    if remains.kernel.startswith("weight_norm"):
        lengths = _lengths(remains, found)
        if lengths is None or lengths > 0.0:
            return None
        return Cause(
            "division",
            _("the weights of a unit have the length 0"),
            (
                _("{layer} divides the weights of each unit by their length.").format(
                    layer=layer_name(run.program, found.path)
                ),
            ),
        ), (
            *(
                setting(_("draw the weights from Glorot"), p, {"kind": "glorot_normal"})
                for p, _v in settings_named(run.experiment, "init")
                if p.startswith(f"{path}.")
            ),
        )
    optimizer = run.experiment.training.optimizer
    epsilon = getattr(optimizer, "epsilon", None)
    if found.role == "update" and epsilon is not None and epsilon < 1e-30 and _remembers_zero(remains, found):
        return Cause(
            "division",
            _("the mean square of a gradient is 0, and so is ε")
            if epsilon == 0.0
            else _("the mean square of a gradient is 0 and ε is {epsilon}").format(epsilon=number(epsilon)),
            (
                _("{optimizer} divides by the root of the mean square of the gradient plus ε, here by 0.").format(
                    optimizer=_(optimizer.label)
                ),
            ),
        ), (setting(_("ε = 1e-8"), "training.optimizer.epsilon", 1e-8),)
    return None


def _remembers_zero(remains: Remains, found: Autopsy) -> bool:
    """Whether what the optimizer remembers of the gradient is zero at the place of the result."""
    places = [
        region.at + int(np.ravel_multi_index(found.index, region.shape))
        for region in remains.run.program.regions
        if region.role == "memory" and (region.path, region.name) == (found.owner, found.name)
    ]
    return any(remains.after[place] == 0.0 for place in places)


def _variance(remains: Remains, found: Autopsy) -> float | None:
    """The variance at the unit (batch norm) or the sample (layer norm) of the result."""
    card = next(entry for entry in remains.run.program.layers if entry.path == found.path)
    rows = remains.run.machine.rows
    x = remains.before[card.given.at : card.given.at + rows * card.given.width].astype(np.float64)
    if not found.index or not np.isfinite(x).all():
        return None
    if remains.kernel == "layer_norm_forward":
        return float(x.reshape(rows, -1)[found.index[0]].var())
    return float(x.reshape(-1, card.given.shape[-1])[:, found.index[-1]].var())


def _lengths(remains: Remains, found: Autopsy) -> float | None:
    tensor = next(
        (t for t in remains.run.program.tensors if t.path == found.path and t.parameter.name == "direction"), None
    )
    if tensor is None or not found.index:
        return None
    v = remains.before[tensor.at : tensor.at + tensor.parameter.count].reshape(tensor.parameter.shape)
    return float(np.linalg.norm(v[..., found.index[-1]].astype(np.float64)))


def from_weights(remains: Remains, found: Autopsy) -> Answer | None:
    """Weights that make the signal, or the gradient, larger in every layer from the first step on."""
    view = remains.run.record.view(whole=True)
    if not len(view.kept_steps) or "activation.rms" not in view.layer_columns:
        return None
    cards = {card.path: card for card in remains.run.program.plan.cards}
    main = [
        i
        for i, path in enumerate(view.layers)
        if "." not in path and path in cards and any(p.weight for p in cards[path].parameters)
    ]
    if not main:
        return None
    fed = remains.run.data.x_train.astype(np.float64)
    with np.errstate(over="ignore"):
        signal = np.append(math.sqrt(float(np.mean(fed * fed))), view.values("activation.rms")[0, main])
    gradient = view.values("gradient.rms")[0, main]
    for values, words in (
        (signal, _("Before any learning the signal grows by ×{factor} a layer, from {first} to {last} (rms).")),
        (
            gradient[::-1],
            _(
                "Before any learning the gradient grows by ×{factor} a layer on the way back, from {first} to {last} "
                "(rms)."
            ),
        ),
    ):
        known = values[np.isfinite(values) & (values > 0.0)]
        if len(known) < 2:
            continue
        with np.errstate(over="ignore"):
            total = float(known[-1] / known[0])
        factor = total ** (1.0 / (len(known) - 1))
        if total > TOTAL and factor > STRETCH:
            return Cause(
                "weights",
                _("the first weights are too large, every layer multiplies by {factor}").format(factor=number(factor)),
                (words.format(factor=number(factor), first=number(float(known[0])), last=number(float(known[-1]))),),
            ), (scaled_init(remains.run.experiment), normalized(remains.run.experiment))
    return None


def from_rate(remains: Remains, found: Autopsy) -> Answer | None:
    """The learning rate: every step made it worse."""
    steep = [one for one in found.growth if one.rising >= 1 and one.factor > STEEP]
    large = _largest(found.operands)
    evidence = [growth_text(one) for one in steep]
    if steep and not (max(one.last for one in steep) > LARGE or large > LARGE):
        evidence = []
    ratio, path = _last_update(remains)
    if ratio > 1.0:
        evidence.append(
            _("The last update was {ratio} times as long as the weights of {layer} themselves.").format(
                ratio=number(ratio), layer=layer_name(remains.run.program, path)
            )
        )
    if not evidence:
        return None
    return Cause(
        "rate", _("the learning rate {rate} is too large").format(rate=number(_rate(remains))), tuple(evidence)
    ), (smaller_rate(remains), clipping())


def _last_update(remains: Remains) -> tuple[float, str]:
    """(update by weights, layer) where the ratio was largest in the last whole step; 0 where it is not known."""
    view = remains.run.record.view(whole=True)
    if "update_ratio" not in view.layer_columns:
        return 0.0, ""
    known = view.kept_steps < remains.step
    if not known.any():
        return 0.0, ""
    ratios = view.values("update_ratio")[: len(view.kept_steps)][known][-1]
    ratios = np.where(np.isfinite(ratios), ratios, 0.0)
    largest = int(np.argmax(ratios))
    return float(ratios[largest]), view.layers[largest]


def growth_text(growth: Growth) -> str:
    """How a quantity rose, in a sentence."""
    return _("{name}: from {first} to {last} in {steps} steps, ×{factor} a step.").format(
        name=growth.name[:1].upper() + growth.name[1:],
        first=number(growth.first),
        last=number(growth.last),
        steps=growth.rising,
        factor=number(growth.factor),
    )


def from_overflow(remains: Remains, found: Autopsy) -> Answer | None:
    """Products or squares of what the operation was given are beyond the format."""
    name = remains.run.experiment.training.precision
    limit = LARGEST[name]
    sizes = sorted((o.largest for o in found.operands), reverse=True)
    if not sizes or sizes[0] ** 2 < limit**0.5:
        return None
    largest = next(o for o in found.operands if o.largest == sizes[0])
    proposals = [scaled_init(remains.run.experiment)]
    if remains.step > remains.run.first_step:
        proposals = [smaller_rate(remains), clipping(), *proposals]
    if name in WIDER:
        proposals.append(precision(WIDER[name]))
    return Cause(
        "overflow",
        _("{name} up to {value} is too large to be multiplied in {precision}").format(
            name=largest.name, value=number(largest.largest), precision=name
        ),
        (_("{precision} ends at {limit}.").format(precision=name, limit=number(limit)),),
    ), tuple(proposals)


def from_nowhere(remains: Remains, found: Autopsy) -> Answer:
    """No operand explains it."""
    largest = _largest(found.operands)
    said = (
        _("All that the operation was given is finite, at most {value}: no formula makes {result} of it.").format(
            value=number(largest), result=number(remains.value)
        )
        if found.operands
        else _("All that the operation was given is finite.")
    )
    return Cause("unknown", _("it does not follow from what the operation was given"), (said,)), (
        smaller_rate(remains),
        clipping(),
    )


def _largest(operands: tuple[Operand, ...]) -> float:
    return max((operand.largest for operand in operands), default=0.0)


RULES: tuple[RuleOfCause, ...] = (
    from_data,
    from_setting,
    from_the_start,
    from_division,
    from_precision,
    from_weights,
    from_rate,
    from_overflow,
    from_nowhere,
)
