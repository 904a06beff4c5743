"""One training step in PyTorch eager, with hooks that measure per layer what Layerscope measures; prints steps per
second.

Run by `test_speed.py` in a Python that has PyTorch: pytorch_step.py DEPTH WIDTH BATCH THREADS SECONDS
"""

import json
import sys
import time

import torch


def main():
    depth, width, batch, threads = map(int, sys.argv[1:5])
    seconds = float(sys.argv[5])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layers = [torch.nn.Linear(64, width), torch.nn.ReLU()]
    for _ in range(depth - 1):
        layers += [torch.nn.Linear(width, width), torch.nn.ReLU()]
    layers.append(torch.nn.Linear(width, 10))
    net = torch.nn.Sequential(*layers)
    for layer in layers:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            torch.nn.init.zeros_(layer.bias)
    x_all, y_all = torch.randn(1438, 64), torch.randint(0, 10, (1438,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    loss_of = torch.nn.CrossEntropyLoss()
    measured: list[torch.Tensor] = []

    def forward_hook(module, inputs, a):
        with torch.no_grad():
            low, high = torch.aminmax(a)
            std, mean = torch.std_mean(a, correction=0)
            rms = torch.linalg.vector_norm(a) / a.numel() ** 0.5
            zeros = (a == 0).float().mean()
            saturated = (a.abs() >= 0.97).float().mean()
            strange = (~torch.isfinite(a)).float().mean()
            measured.extend((low, high, mean, std, rms, zeros, saturated, strange))

    def backward_hook(module, given, gradients):
        with torch.no_grad():
            g = gradients[0]
            low, high = torch.aminmax(g)
            norm = torch.linalg.vector_norm(g)
            measured.extend((norm, norm / g.numel() ** 0.5, low, high, (g == 0).float().mean()))

    for layer in layers:
        layer.register_forward_hook(forward_hook)
        layer.register_full_backward_hook(backward_hook)
    weights = [layer.weight for layer in layers if isinstance(layer, torch.nn.Linear)]
    biases = [layer.bias for layer in layers if isinstance(layer, torch.nn.Linear)]
    record = []

    def step(order):
        measured.clear()
        x, y = x_all[order], y_all[order]
        optimizer.zero_grad()
        outputs = net(x)
        loss = loss_of(outputs, y)
        loss.backward()
        with torch.no_grad():
            accuracy = (outputs.argmax(1) == y).float().mean()
            before = [w.clone() for w in weights]
            norms = [torch.linalg.vector_norm(p.grad) for p in weights + biases]
            total = torch.linalg.vector_norm(torch.stack(norms))
            optimizer.step()
            for w, old in zip(weights, before, strict=True):
                size = torch.linalg.vector_norm(old)
                measured.extend((size, torch.linalg.vector_norm(w - old) / size))
        record.append(torch.stack([loss.detach(), accuracy, total, *norms[: len(weights)], *measured]))
        if len(record) > 100:
            record.clear()

    def epochs():
        while True:
            order = torch.randperm(1438)
            for start in range(0, 1438 - batch, batch):
                yield order[start : start + batch]

    batches = epochs()
    for _ in range(10):
        step(next(batches))
    best = 0.0
    for _ in range(3):
        count, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds / 3:
            step(next(batches))
            count += 1
        best = max(best, count / (time.perf_counter() - begin))
    print(json.dumps({"steps_per_second": best, "torch": torch.__version__, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
