"""Make `rounded.npz`: what PyTorch makes of numbers of 16 bits, of a training step with them, and of loss scales.

Run it with PyTorch 2.x installed; the tests only read the file.

    bits, float16, bfloat16   float32 bit patterns and what Tensor.to turns them into
    x, y, start.*             data and initial weights of a small network, dense 7 - tanh - dense 6 - ReLU - dense 3
    <format>.*                one step with loss scale 1024: every operation in float32, its result rounded by Tensor.to
    overflow, scale           which steps overflowed, and the scale that torch.amp.GradScaler used in each
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

FORMATS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
SIZES, SAMPLES, RATE, SCALE = (5, 7, 6, 3), 11, 0.1, 1024.0


def patterns(draw):
    """Float32 bit patterns: any, near the ends of both formats, and halfway between two neighbors."""
    anything = draw.integers(0, 2**32, 12_000, dtype=np.uint32)
    around = np.array([65504, 65520, 2**-14, 2**-24, 2**-25, 2**-126, 2**-133, 3.38953e38, 1, 0], dtype=np.float32)
    near = (around.view(np.uint32)[:, None] + np.arange(-40, 41, dtype=np.int64)).astype(np.uint32).ravel()
    halfway = np.concatenate(
        [
            (draw.integers(0, 2**32, 2000, dtype=np.uint32) >> np.uint32(k) << np.uint32(k)) + np.uint32(2 ** (k - 1))
            for k in (13, 16)
        ]
    )
    small = (draw.uniform(-(2.0**-14), 2.0**-14, 3000)).astype(np.float32).view(np.uint32)
    return np.concatenate([anything, near, halfway, small])


def step(x, y, start, kind):
    """One step of SGD; every value, gradient and new weight by name."""

    def rounded(values):
        return values.to(kind).float()

    w = [rounded(p) for p in start]
    a = [rounded(x)]
    a.append(rounded(a[-1] @ w[0] + w[1]))
    a.append(rounded(torch.tanh(a[-1])))
    a.append(rounded(a[-1] @ w[2] + w[3]))
    a.append(rounded(torch.relu(a[-1])))
    a.append(rounded(a[-1] @ w[4] + w[5]))
    target = torch.nn.functional.one_hot(y, SIZES[-1]).float()
    loss = torch.nn.functional.cross_entropy(a[5], y)
    g = [None] * 6
    g[5] = rounded((torch.softmax(a[5], 1) - target) / len(x) * SCALE)
    g[4] = rounded(g[5] @ w[4].T)
    g[3] = rounded(g[4] * (a[3] > 0))
    g[2] = rounded(g[3] @ w[2].T)
    g[1] = rounded(g[2] * (1 - a[2] * a[2]))
    found = {"loss": loss.double()}
    found |= {f"activation.{i}": v for i, v in enumerate(a[1:])}
    found |= {f"gradient.{i}": v for i, v in enumerate(g[1:])}
    for i, (inputs, slope) in enumerate(((a[0], g[1]), (a[2], g[3]), (a[4], g[5]))):
        for j, d in ((2 * i, rounded(inputs.T @ slope)), (2 * i + 1, rounded(slope.sum(0)))):
            found[f"weight_gradient.{j}"] = d / SCALE
            found[f"weight.{j}"] = start[j] - RATE * (d / SCALE)
    return {name: value.numpy() for name, value in found.items()}


def scales(overflow):
    """The scales that PyTorch's own GradScaler goes through."""
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1000.0, growth_factor=2.5, backoff_factor=0.4, growth_interval=3)
    found = []
    for bad in overflow:
        optimizer.zero_grad()
        scaler.scale(parameter.sum()).backward()
        found.append(scaler.get_scale())
        if bad:
            parameter.grad[0] = torch.inf
        scaler.step(optimizer)
        scaler.update()
    return np.array(found)


def main():
    draw = np.random.default_rng(20261124)
    bits = patterns(draw)
    numbers = torch.tensor(bits.view(np.float32))
    content = {"bits": bits}
    for name, kind in FORMATS.items():
        content[name] = numbers.to(kind).view(torch.int16).numpy().view(np.uint16)
    x, y = torch.tensor(draw.normal(size=(SAMPLES, SIZES[0])), dtype=torch.float32), torch.arange(SAMPLES) % SIZES[-1]
    start = []
    for n, m in pairwise(SIZES):
        start += [draw.normal(size=(n, m)) * 0.8, draw.normal(size=m) * 0.3]
    start = [torch.tensor(s, dtype=torch.float32) for s in start]
    content |= {"x": x.double().numpy(), "y": y.numpy()} | {f"start.{i}": p.numpy() for i, p in enumerate(start)}
    for name, kind in FORMATS.items():
        content |= {f"{name}.{key}": value for key, value in step(x, y, start, kind).items()}
    content["overflow"] = draw.random(60) < 0.2
    content["scale"] = scales(content["overflow"])
    np.savez_compressed(Path(__file__).with_name("rounded.npz"), **content)


if __name__ == "__main__":
    main()
