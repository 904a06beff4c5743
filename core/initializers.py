"""How the weights of a layer are drawn before training: the first of all training tricks.

Every scheme turns the *same* uniform draws into weights, so lanes that differ in the scheme start from comparable
networks. All spreads are written as standard deviations. With n inputs and m outputs of a unit; `science`: LeCun 1998,
Glorot & Bengio 2010 (eq. 12 and 16), He et al. 2015 (eq. 10), Saxe et al. 2013 (orthogonal), in the form of
torch.nn.init (not truncated).
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from .engine import random
from .fields import Kind, about
from .registry import Registry
from .text import N_, _

Gain = Annotated[
    float, about(N_("gain"), N_("The drawn weights are multiplied by this number."), minimum=0.0, maximum=100.0)
]


class Initializer(Kind, frozen=True, kw_only=True):
    """A rule for the first weights of a layer."""

    registry: ClassVar[Registry[type[Initializer]]] = Registry(N_("init"))

    # False where all weights are one number: mean-field theory, which is about random weights, has nothing to say then
    random: ClassVar[bool] = True

    # True for a scheme that ends by looking at the data: weights are divided until the layer's output has variance 1
    data_dependent: ClassVar[bool] = False

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        """Standard deviation of one weight of an array of this shape, whose last axis are the units.

        fan_in    inputs of one output: of a dense layer all, of a convolution channels times pixels of the window
        fan_out   outputs that one input feeds: filters times pixels of the window
        """
        raise NotImplementedError

    def spread(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> tuple[float, float]:
        """(std, n Var) of the weights as the scheme means them, n = `fan_in`: the second number is all that mean-field
        theory needs to know. Both NaN where the data decide (LSUV).
        """
        std = math.nan if self.data_dependent else self.standard_deviation(shape, fan_in, fan_out)
        return std, fan_in * std * std

    def fitted(self, shape: tuple[int, ...], fan_in: int, fan_out: int, arriving: float) -> float:
        """The standard deviation once the data have been seen: the same, unless the scheme looks at them.

        arriving   sum of the squares of the inputs of one output, in the mean
        """
        return self.standard_deviation(shape, fan_in, fan_out)

    def theoretical(self, shape: tuple[int, ...], fan_in: int, fan_out: int, arriving: float) -> float:
        """What `fitted` says where mean-field theory holds: for random weights, and for weights that are all zero;
        otherwise a NotImplementedError that says why.
        """
        std = self.fitted(shape, fan_in, fan_out, arriving)
        if not self.random and self.draw((1, 1), 1, 1, 0).any():
            raise NotImplementedError(_("theory is about random weights, and these are all one number"))
        return std

    def draw(self, shape: tuple[int, ...], fan_in: int, fan_out: int, stream: int) -> NDArray[np.float64]:
        """Weights of the given shape from the random stream `stream` (see `engine.random`)."""
        raise NotImplementedError


class _Normal(Initializer, frozen=True, kw_only=True):
    """Weights from a normal distribution around zero."""

    def draw(self, shape: tuple[int, ...], fan_in: int, fan_out: int, stream: int) -> NDArray[np.float64]:
        return random.normal(stream, math.prod(shape)).reshape(shape) * self.standard_deviation(shape, fan_in, fan_out)


class _Uniform(Initializer, frozen=True, kw_only=True):
    """Weights from a uniform distribution around zero."""

    def draw(self, shape: tuple[int, ...], fan_in: int, fan_out: int, stream: int) -> NDArray[np.float64]:
        limit = math.sqrt(3.0) * self.standard_deviation(shape, fan_in, fan_out)
        return (2.0 * random.uniform(stream, math.prod(shape)).reshape(shape) - 1.0) * limit


class _Fixed(Initializer, frozen=True, kw_only=True):
    """All weights the same number, so that all units of a layer stay the same forever."""

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        return 0.0

    def number(self) -> float:
        raise NotImplementedError

    def draw(self, shape: tuple[int, ...], fan_in: int, fan_out: int, stream: int) -> NDArray[np.float64]:
        return np.full(shape, self.number(), dtype=np.float64)


@Initializer.registry.add("zeros")
class Zeros(_Fixed, frozen=True, kw_only=True, tag="zeros"):
    """All weights zero: the symmetry between units is never broken and nothing is learned."""

    label: ClassVar[str] = N_("zeros")
    formula: ClassVar[str] = "W = 0"
    source: ClassVar[str] = "torch.nn.init.zeros_"
    gain: Gain = 1.0

    def number(self) -> float:
        return 0.0


@Initializer.registry.add("constant")
class Constant(_Fixed, frozen=True, kw_only=True, tag="constant"):
    """All weights the same number: all units of a layer compute the same thing."""

    label: ClassVar[str] = N_("constant")
    formula: ClassVar[str] = "W = gain · c"
    source: ClassVar[str] = "torch.nn.init.constant_"
    random: ClassVar[bool] = False
    value: Annotated[float, about(N_("value"), N_("Every weight."), minimum=-1e6, maximum=1e6)] = 0.1
    gain: Gain = 1.0

    def number(self) -> float:
        return self.gain * self.value


@Initializer.registry.add("uniform")
class Uniform(_Uniform, frozen=True, kw_only=True, tag="uniform"):
    """Uniform between -limit and limit, whatever the size of the layer."""

    label: ClassVar[str] = N_("uniform")
    formula: ClassVar[str] = "W ~ gain · U(−a, a),  std = gain · a / √3"
    source: ClassVar[str] = "torch.nn.init.uniform_(-a, a)"
    limit: Annotated[
        float, about(N_("limit"), N_("Weights lie between -limit and limit."), minimum=0.0, maximum=1e6)
    ] = 0.05
    gain: Gain = 1.0

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        return self.gain * self.limit / math.sqrt(3.0)


@Initializer.registry.add("normal")
class Normal(_Normal, frozen=True, kw_only=True, tag="normal"):
    """Normal with one std for every layer; std 1 is the classic bad example: signals grow by the root of n per
    layer.
    """

    label: ClassVar[str] = N_("normal")
    formula: ClassVar[str] = "W ~ N(0, std² = (gain · σ)²)"
    source: ClassVar[str] = "torch.nn.init.normal_(std=σ)"
    std: Annotated[float, about(N_("std"), N_("Standard deviation of the weights."), minimum=0.0, maximum=1e6)] = 1.0
    gain: Gain = 1.0

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        return self.gain * self.std


@Initializer.registry.add("inverse_n")
class InverseN(_Normal, frozen=True, kw_only=True, tag="inverse_n"):
    """Normal with std 1/n: too small by the root of n, signals shrink from layer to layer."""

    label: ClassVar[str] = N_("std 1/n")
    formula: ClassVar[str] = "W ~ N(0, std² = (gain / n)²)"
    source: ClassVar[str] = "the variance 1/n of LeCun et al. 1998, taken for the std: a common mistake"
    gain: Gain = 1.0

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        return self.gain / fan_in


@Initializer.registry.add("lecun_normal")
class LecunNormal(_Normal, frozen=True, kw_only=True, tag="lecun_normal"):
    """Normal with std 1/sqrt(n): keeps the variance of a linear layer; right for SELU."""

    label: ClassVar[str] = N_("LeCun normal")
    formula: ClassVar[str] = "W ~ N(0, std² = gain² / n)"
    source: ClassVar[str] = (
        'LeCun et al. 1998, "Efficient BackProp", eq. 16; torch.nn.init.kaiming_normal_(nonlinearity="linear")'
    )
    gain: Gain = 1.0

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        return self.gain / math.sqrt(fan_in)


@Initializer.registry.add("lecun_uniform")
class LecunUniform(_Uniform, frozen=True, kw_only=True, tag="lecun_uniform"):
    """Uniform with std 1/sqrt(n)."""

    label: ClassVar[str] = N_("LeCun uniform")
    formula: ClassVar[str] = "W ~ gain · U(−√(3/n), √(3/n))"
    source: ClassVar[str] = (
        'LeCun et al. 1998, "Efficient BackProp", eq. 16; torch.nn.init.kaiming_uniform_(nonlinearity="linear")'
    )
    gain: Gain = 1.0

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        return self.gain / math.sqrt(fan_in)


@Initializer.registry.add("glorot_normal")
class GlorotNormal(_Normal, frozen=True, kw_only=True, tag="glorot_normal"):
    """Normal with std sqrt(2 / (n + m)), also called Xavier: a compromise between signal and gradient, for tanh."""

    label: ClassVar[str] = N_("Xavier normal")
    formula: ClassVar[str] = "W ~ N(0, std² = gain² · 2 / (n + m))"
    source: ClassVar[str] = "Glorot & Bengio 2010, eq. 12; torch.nn.init.xavier_normal_"
    gain: Gain = 1.0

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        return self.gain * math.sqrt(2.0 / (fan_in + fan_out))


@Initializer.registry.add("glorot_uniform")
class GlorotUniform(_Uniform, frozen=True, kw_only=True, tag="glorot_uniform"):
    """Uniform with std sqrt(2 / (n + m)): the default of Keras."""

    label: ClassVar[str] = N_("Xavier uniform")
    formula: ClassVar[str] = "W ~ gain · U(−√(6/(n + m)), √(6/(n + m)))"
    source: ClassVar[str] = "Glorot & Bengio 2010, eq. 16; torch.nn.init.xavier_uniform_"
    gain: Gain = 1.0

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        return self.gain * math.sqrt(2.0 / (fan_in + fan_out))


@Initializer.registry.add("he_normal")
class HeNormal(_Normal, frozen=True, kw_only=True, tag="he_normal"):
    """Normal with std sqrt(2 / n), also called Kaiming: makes up for the half that ReLU cuts away."""

    label: ClassVar[str] = N_("He normal")
    formula: ClassVar[str] = "W ~ N(0, std² = gain² · 2 / n)"
    source: ClassVar[str] = "He et al. 2015 (arXiv 1502.01852), eq. 10; torch.nn.init.kaiming_normal_"
    gain: Gain = 1.0

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        return self.gain * math.sqrt(2.0 / fan_in)


@Initializer.registry.add("he_uniform")
class HeUniform(_Uniform, frozen=True, kw_only=True, tag="he_uniform"):
    """Uniform with std sqrt(2 / n)."""

    label: ClassVar[str] = N_("He uniform")
    formula: ClassVar[str] = "W ~ gain · U(−√(6/n), √(6/n))"
    source: ClassVar[str] = "He et al. 2015 (arXiv 1502.01852), eq. 10; torch.nn.init.kaiming_uniform_"
    gain: Gain = 1.0

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        return self.gain * math.sqrt(2.0 / fan_in)


@Initializer.registry.add("orthogonal")
class Orthogonal(Initializer, frozen=True, kw_only=True, tag="orthogonal"):
    """Rows or columns at right angles, all of length `gain`: a linear layer neither stretches nor squeezes."""

    label: ClassVar[str] = N_("orthogonal")
    formula: ClassVar[str] = "W = gain · Q,  QᵀQ = 1 (or QQᵀ = 1 where there are more units than inputs)"
    source: ClassVar[str] = "Saxe et al. 2013 (arXiv 1312.6120); torch.nn.init.orthogonal_"
    gain: Gain = 1.0

    def standard_deviation(self, shape: tuple[int, ...], fan_in: int, fan_out: int) -> float:
        # Of two orthonormal sets, rows or columns, the one with fewer members is whole: each has length `gain`.
        return self.gain / math.sqrt(max(math.prod(shape[:-1]), shape[-1]))

    def draw(self, shape: tuple[int, ...], fan_in: int, fan_out: int, stream: int) -> NDArray[np.float64]:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        gaussian = random.normal(stream, rows * columns).reshape(rows, columns)
        tall = gaussian if rows >= columns else gaussian.T
        q, r = np.linalg.qr(tall)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # makes the draw uniform over all rotations (Mezzadri 2007)
        return np.ascontiguousarray(self.gain * (q if rows >= columns else q.T)).reshape(shape)


@Initializer.registry.add("lsuv")
class Lsuv(Orthogonal, frozen=True, kw_only=True, tag="lsuv"):
    """Orthogonal, then divided layer by layer until its outputs for the first minibatch have variance 1, within 0.1."""

    label: ClassVar[str] = N_("LSUV")
    formula: ClassVar[str] = "W ← W / √Var(x W), layer by layer, until |Var − 1| < 0.1"
    source: ClassVar[str] = "Mishkin & Matas 2016 (arXiv 1511.06422), algorithm 1"
    data_dependent: ClassVar[bool] = True

    def fitted(self, shape: tuple[int, ...], fan_in: int, fan_out: int, arriving: float) -> float:
        return 1.0 / math.sqrt(arriving) if arriving > 0 else math.nan


def first_biases(std: float) -> Initializer:
    """How biases are drawn: all zero, or normal around zero where a standard deviation is given."""
    return Normal(std=std) if std else Zeros()
