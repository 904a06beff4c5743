"""Make `torch_mlp.npz`: what PyTorch computes for small networks with every activation and loss, and ten training
steps.

Run it with PyTorch 2.x installed; the tests only read the file. Everything is float64. For each case the file holds the
data, the initial parameters, the loss, all gradients, and the parameters after ten steps of SGD and of momentum on the
full batch.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

ACTIVATIONS = {
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda x: torch.nn.functional.leaky_relu(x, 0.01),
    "elu": torch.nn.functional.elu,
    "selu": torch.nn.functional.selu,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
    "softplus": torch.nn.functional.softplus,
    "softsign": torch.nn.functional.softsign,
    "hard_tanh": torch.nn.functional.hardtanh,
}
LOSSES = {
    "softmax_cross_entropy": lambda z, y, t: torch.nn.functional.cross_entropy(z, y),
    "smoothed": lambda z, y, t: torch.nn.functional.cross_entropy(z, y, label_smoothing=0.1),
    "mse": lambda z, y, t: torch.nn.functional.mse_loss(z, t),
}
SIZES = (5, 7, 6, 3)
SAMPLES, RATE, MOMENTUM, STEPS = 11, 0.02, 0.9, 10


def main():
    draw = np.random.default_rng(20261123)
    x = draw.normal(size=(SAMPLES, SIZES[0]))
    y = np.arange(SAMPLES) % SIZES[-1]
    start = []
    for n, m in pairwise(SIZES):
        start += [draw.normal(size=(n, m)) * 0.8, draw.normal(size=m) * 0.3]
    content = {"x": x, "y": y}
    content |= {f"start.{i}": p for i, p in enumerate(start)}
    inputs, classes = torch.tensor(x), torch.tensor(y)
    targets = torch.nn.functional.one_hot(classes, SIZES[-1]).double()
    for function_name, function in ACTIVATIONS.items():
        for loss_name, loss_of in LOSSES.items():

            def forward(p, function=function):
                h = function(inputs @ p[0] + p[1])
                h = function(h @ p[2] + p[3])
                return h @ p[4] + p[5]

            case = f"{function_name}.{loss_name}"
            p = [torch.tensor(s, requires_grad=True) for s in start]
            outputs = forward(p)
            loss = loss_of(outputs, classes, targets)
            loss.backward()
            content[f"{case}.outputs"] = outputs.detach().numpy()
            content[f"{case}.loss"] = np.array(loss.item())
            for i, tensor in enumerate(p):
                content[f"{case}.gradient.{i}"] = tensor.grad.numpy()
            for name, momentum in (("sgd", 0.0), ("momentum", MOMENTUM)):
                p = [torch.tensor(s, requires_grad=True) for s in start]
                optimizer = torch.optim.SGD(p, lr=RATE, momentum=momentum)
                for _ in range(STEPS):
                    optimizer.zero_grad()
                    loss_of(forward(p), classes, targets).backward()
                    optimizer.step()
                content[f"{case}.{name}"] = np.concatenate([t.detach().numpy().ravel() for t in p])
    np.savez_compressed(Path(__file__).with_name("torch_mlp.npz"), **content)


if __name__ == "__main__":
    main()
