"""PyTorch eager as a side of a comparison, bare or with hooks that measure every layer. Runs where PyTorch is."""

import torch
from protocol import minibatches, sample_count, serve

FUNCTIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}


class Residual(torch.nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)


class Channels(torch.nn.Module):
    """Images come with their channels last."""

    def forward(self, x):
        return x.permute(0, 3, 1, 2).contiguous()


def modules(layers, shape):
    """Modules of plain layers, and the shape behind them; images are (channels, height, width) here."""
    made = []
    for layer in layers:
        kind = layer["kind"]
        if kind == "dense":
            if len(shape) > 1:
                made.append(torch.nn.Flatten())
                shape = (shape[0] * shape[1] * shape[2],)
            one = torch.nn.Linear(shape[0], layer["units"])
            torch.nn.init.kaiming_normal_(one.weight, nonlinearity="relu")
            torch.nn.init.zeros_(one.bias)
            made.append(one)
            shape = (layer["units"],)
        elif kind == "conv2d":
            size = layer["kernel_size"]
            made.append(torch.nn.Conv2d(shape[0], layer["filters"], size))
            shape = (layer["filters"], shape[1] - size + 1, shape[2] - size + 1)
        elif kind == "max_pool":
            made.append(torch.nn.MaxPool2d(2))
            shape = (shape[0], shape[1] // 2, shape[2] // 2)
        elif kind == "flatten":
            made.append(torch.nn.Flatten())
            shape = (shape[0] * shape[1] * shape[2],)
        elif kind == "activation":
            made.append(FUNCTIONS[layer["function"]]())
        elif kind == "dropout":
            made.append(torch.nn.Dropout(layer["rate"]))
        elif kind == "batch_norm":
            made.append(torch.nn.BatchNorm1d(shape[0]))
        elif kind == "residual":
            body, shape = modules(layer["body"], shape)
            made.append(Residual(torch.nn.Sequential(*body)))
        else:
            raise ValueError(kind)
    return made, shape


def begin(told):
    work, threads = told["workload"], told["threads"]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    inputs, batch = tuple(work["inputs"]), work["batch"]
    images = len(inputs) == 3
    parts, _shape = modules(work["layers"], (inputs[2], inputs[0], inputs[1]) if images else inputs)
    net = torch.nn.Sequential(*([Channels()] if images else []), *parts)
    count = sample_count(batch)
    x_all, y_all = torch.randn(count, *inputs), torch.randint(0, work["classes"], (count,))
    training = work["training"]
    rate = training["optimizer"]["learning_rate"]
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimizer = kinds[training["optimizer"]["kind"]](net.parameters(), lr=rate)
    clip = training.get("clipping")
    schedule = None
    if training.get("schedule"):
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000 * (count // batch))
    loss_of = torch.nn.CrossEntropyLoss()
    measured, record = [], []

    def forward_hook(module, given, a):
        with torch.no_grad():
            low, high = torch.aminmax(a)
            std, mean = torch.std_mean(a)
            measured.extend((low, high, mean, std, (a == 0).float().mean()))

    def backward_hook(module, given, gradients):
        with torch.no_grad():
            g = gradients[0]
            low, high = torch.aminmax(g)
            std, mean = torch.std_mean(g)
            measured.extend((low, high, mean, std, torch.linalg.vector_norm(g)))

    weights = [p for p in net.parameters() if p.dim() > 1]
    if told["statistics"]:
        for module in net.modules():
            if not list(module.children()) and not isinstance(module, Channels):
                module.register_forward_hook(forward_hook)
                module.register_full_backward_hook(backward_hook)

    def step(order):
        x, y = x_all[order], y_all[order]
        optimizer.zero_grad()
        measured.clear()
        loss = loss_of(net(x), y)
        loss.backward()
        if told["statistics"]:
            with torch.no_grad():
                for w in weights:
                    measured.extend((torch.linalg.vector_norm(w), torch.linalg.vector_norm(w.grad)))
                record.append(torch.stack([loss.detach(), *measured]))
            if len(record) > 100:
                record.clear()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip["threshold"])
        optimizer.step()
        if schedule is not None:
            schedule.step()

    source = minibatches(count, batch, torch.randperm)

    def take(steps):
        for _ in range(steps):
            step(next(source))

    take(5)
    return {"version": torch.__version__, "threads": torch.get_num_threads()}, take


if __name__ == "__main__":
    serve(begin)
