"""Make `torch_layers.npz`: what PyTorch computes for every kind of layer and loss with its options, alone and nested.

Run it with PyTorch 2.x installed; the tests only read the file. Everything is float64. For each case the file holds the
experiment's network and loss, the initial parameters, outputs, loss and all gradients of the first minibatch, the
parameters (running statistics included) after five steps of SGD, and what the network then puts out in evaluation.

Parameters have the names and the layout of Layerscope (dense weights (inputs, outputs), kernels (height, width, in,
out), images (height, width, channels)); PyTorch sees them turned its way, so that gradients come back in ours.
Dropout's masks follow from the seed by the published recipe (SplitMix64), written down here a second time.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

SAMPLES, BATCH, STEPS, RATE, SEED = 10, 4, 5, 0.05, 7
CLASSES = 3


def dense(units, **fields):
    return {"kind": "dense", "units": units, **fields}


def conv(filters, size=3, **fields):
    return {"kind": "conv2d", "filters": filters, "kernel_size": size, **fields}


def kind(name, **fields):
    return {"kind": name, **fields}


def act(function):
    return kind("activation", function=function)


def residual(*body, **fields):
    return kind("residual", body=list(body), **fields)


def inception(*branches):
    return kind("inception", branches=[list(b) for b in branches])


def weight_norm(layer):
    return kind("weight_norm", layer=layer)


TANH, SAME = act("tanh"), {"padding": "same"}
VECTORS = {
    "dense": [dense(4)],
    "dense without bias": [dense(4, bias=False), TANH],
    "flatten a vector": [dense(4), kind("flatten"), TANH],
    "dropout": [dense(5), kind("dropout", rate=0.4), TANH],
    "dropout of the data": [kind("dropout", rate=0.25), dense(4)],
    "batch norm": [dense(4), kind("batch_norm"), TANH],
    "batch norm with options": [dense(4), kind("batch_norm", epsilon=0.01, momentum=0.4), TANH],
    "batch norm of the data": [kind("batch_norm"), dense(4)],
    "layer norm": [dense(4), kind("layer_norm"), TANH],
    "layer norm with epsilon": [dense(4), kind("layer_norm", epsilon=0.02), TANH],
    "weight norm": [dense(4), weight_norm(dense(3)), TANH],
    "weight norm without bias": [dense(4), weight_norm(dense(3, bias=False)), TANH],
    "residual": [dense(4), residual(dense(4), TANH)],
    "residual with scale": [dense(4), residual(dense(4), TANH, scale=-0.7)],
    "residual with projection": [dense(4), residual(dense(3), TANH, shortcut="projection", scale=0.5)],
    "empty residual": [dense(4), residual(scale=0.5)],
    "inception": [dense(4), inception([dense(2), TANH], [dense(3)], [])],
    "residual in inception in residual": [
        dense(4),
        residual(
            inception([residual(dense(4), TANH)], [dense(2), kind("batch_norm")], [kind("dropout", rate=0.3)]), dense(4)
        ),
    ],
    "weight norm in both": [dense(4), residual(weight_norm(dense(4)), inception([weight_norm(dense(2))], [dense(2)]))],
}
IMAGES = {
    "conv2d": [conv(3)],
    "conv2d without bias": [conv(2, bias=False), TANH, conv(2, 2)],
    "conv2d same": [conv(2, **SAME), TANH, conv(2, 2, **SAME)],
    "conv2d same, stride 2": [conv(2, 1), conv(3, 3, stride=2, **SAME)],
    "conv2d same, stride 2, window 2": [conv(2, 1), conv(3, 2, stride=2, **SAME)],
    "conv2d same, stride 3, window 4": [conv(2, 1), conv(3, 4, stride=3, **SAME)],
    "conv2d stride 2": [conv(2, 1), conv(3, 3, stride=2)],
    "conv2d of one pixel, stride 2": [conv(2, 2), conv(3, 1, stride=2)],
    "max pool": [conv(2, 2), kind("max_pool")],
    "max pool, overlapping": [conv(2, 2), kind("max_pool", size=3, stride=1)],
    "max pool with gaps": [conv(2, 2), act("relu"), kind("max_pool", size=2, stride=3)],
    "average pool": [conv(2, 2), kind("average_pool")],
    "average pool, overlapping": [conv(2, 2), kind("average_pool", size=3, stride=2)],
    "global average pool": [conv(3, 2), TANH, kind("global_average_pool")],
    "flatten": [conv(2, 2), TANH, kind("flatten"), dense(3)],
    "dense of an image": [conv(2, 2), TANH, dense(3)],
    "dropout of an image": [conv(2, 2), kind("dropout", rate=0.4)],
    "batch norm of an image": [conv(2, 2), kind("batch_norm"), TANH],
    "layer norm of an image": [conv(2, 2), kind("layer_norm"), TANH],
    "weight norm of a convolution": [conv(2, 2), weight_norm(conv(2, 2, stride=2, **SAME)), TANH],
    "residual of images": [conv(2, 2), residual(conv(2, **SAME), TANH)],
    "residual with a strided projection": [conv(2, 2), residual(conv(3, stride=2, **SAME), shortcut="projection")],
    "inception of images": [conv(2, 2), inception([conv(2, 1)], [conv(1, **SAME), TANH], [])],
    "deep and nested": [
        conv(2, 2),
        residual(inception([conv(1, 1), kind("batch_norm")], [weight_norm(conv(1, **SAME))]), act("gelu"), scale=0.5),
        kind("max_pool"),
        inception([kind("global_average_pool")], [kind("flatten"), dense(2), kind("layer_norm")]),
    ],
}
HEAD = [dense(3), TANH]
LOSSES = {
    "softmax cross-entropy": (kind("softmax_cross_entropy"), "classes", CLASSES),
    "label smoothing": (kind("softmax_cross_entropy", label_smoothing=0.15), "classes", CLASSES),
    "binary cross-entropy": (kind("binary_cross_entropy"), "classes", CLASSES),
    "binary cross-entropy of two classes": (kind("binary_cross_entropy"), "two classes", 1),
    "squared error of classes": (kind("mse"), "classes", CLASSES),
    "squared error": (kind("mse"), "values", 2),
    "Huber of classes": (kind("huber"), "classes", CLASSES),
    "Huber": (kind("huber", delta=0.6), "values", 2),
}


# --- masks of dropout


def bits(stream, count, first=0):
    with np.errstate(over="ignore"):
        z = (np.arange(first, first + count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = z + np.uint64(stream % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def mask(path, step, shape, rate):
    digest = hashlib.blake2b(f"{SEED}/dropout/{path}/0".encode(), digest_size=8).digest()
    stream = int(bits(int.from_bytes(digest, "little"), 1, step)[0])
    uniform = (bits(stream, int(np.prod(shape))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return (uniform >= rate).reshape(shape)


# --- networks


class Network:
    """A network of Layerscope's description, computed by PyTorch; parameters are made when they are first met."""

    def __init__(self, layers, draw):
        self.layers, self.draw = layers, draw
        self.parameters, self.statistics, self.masks = {}, {}, {}
        self.step = 0

    def parameter(self, name, shape):
        if name not in self.parameters:
            values = self.draw.normal(size=shape) * 0.7 + (1.0 if name.endswith(("gamma", "magnitude")) else 0.0)
            self.parameters[name] = torch.tensor(values, requires_grad=True)
        return self.parameters[name]

    def __call__(self, x, training):
        return self.chain(self.layers, "", x, training)

    def chain(self, layers, place, x, training):
        for index, layer in enumerate(layers):
            x = self.layer(layer, f"{place}{index}", x, training)
        return x

    def layer(self, layer, path, x, training):
        return getattr(self, layer["kind"])(layer, path, x, training)

    def dense(self, layer, path, x, training, weight=None):
        x = to_rows(x)
        weight = self.parameter(f"{path}.weight", (x.shape[1], layer["units"])) if weight is None else weight
        bias = self.parameter(f"{path}.bias", (layer["units"],)) if layer.get("bias", True) else None
        return functional.linear(x, weight.T, bias)

    def conv2d(self, layer, path, x, training, weight=None):
        size, stride, filters = layer["kernel_size"], layer.get("stride", 1), layer["filters"]
        shape = size, size, x.shape[1], filters
        weight = self.parameter(f"{path}.weight", shape) if weight is None else weight
        bias = self.parameter(f"{path}.bias", (filters,)) if layer.get("bias", True) else None
        if layer.get("padding", "valid") == "same":
            around = []
            for length in (x.shape[3], x.shape[2]):
                total = max((-(-length // stride) - 1) * stride + size - length, 0)
                around += [total // 2, total - total // 2]
            x = functional.pad(x, around)
        return functional.conv2d(x, weight.permute(3, 2, 0, 1).contiguous(), bias, stride)

    def activation(self, layer, path, x, training):
        return {"tanh": torch.tanh, "relu": torch.relu, "gelu": functional.gelu}[layer["function"]](x)

    def flatten(self, layer, path, x, training):
        return to_rows(x)

    def max_pool(self, layer, path, x, training):
        return functional.max_pool2d(x, layer.get("size", 2), layer.get("stride"))

    def average_pool(self, layer, path, x, training):
        return functional.avg_pool2d(x, layer.get("size", 2), layer.get("stride"))

    def global_average_pool(self, layer, path, x, training):
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)

    def dropout(self, layer, path, x, training):
        if not training:
            return x
        last = channels_last(x)
        kept = mask(path, self.step, last.shape, layer["rate"])
        self.masks.setdefault(path, []).append(kept)
        return channels_first(last * torch.tensor(kept, dtype=torch.float64) / (1.0 - layer["rate"]))

    def batch_norm(self, layer, path, x, training):
        n = x.shape[1]
        gamma, beta = self.parameter(f"{path}.gamma", (n,)), self.parameter(f"{path}.beta", (n,))
        mean = self.statistics.setdefault(f"{path}.running_mean", torch.zeros(n, dtype=torch.float64))
        variance = self.statistics.setdefault(f"{path}.running_variance", torch.ones(n, dtype=torch.float64))
        share, epsilon = layer.get("momentum", 0.1), layer.get("epsilon", 1e-5)
        return functional.batch_norm(x, mean, variance, gamma, beta, training, share, epsilon)

    def layer_norm(self, layer, path, x, training):
        last = channels_last(x)
        shape = tuple(last.shape[1:])
        gamma, beta = self.parameter(f"{path}.gamma", shape), self.parameter(f"{path}.beta", shape)
        return channels_first(functional.layer_norm(last, shape, gamma, beta, layer.get("epsilon", 1e-5)))

    def weight_norm(self, layer, path, x, training):
        inner = layer["layer"]
        if inner["kind"] == "dense":
            shape = to_rows(x).shape[1], inner["units"]
        else:
            shape = inner["kernel_size"], inner["kernel_size"], x.shape[1], inner["filters"]
        v, g = self.parameter(f"{path}.direction", shape), self.parameter(f"{path}.magnitude", shape[-1:])
        units = v.reshape(-1, shape[-1]).T
        weight = torch._weight_norm(units, g[:, None], 0).T.reshape(shape)
        return getattr(self, inner["kind"])(inner, path, x, training, weight)

    def residual(self, layer, path, x, training):
        branch = self.chain(layer["body"], f"{path}.body.", x, training)
        around = x
        if layer.get("shortcut") == "projection" and branch.dim() == 2:
            around = self.dense(dense(branch.shape[1], bias=False), f"{path}.shortcut", x, training)
        elif layer.get("shortcut") == "projection":
            projection = conv(branch.shape[1], 1, bias=False, stride=-(-x.shape[2] // branch.shape[2]))
            around = self.conv2d(projection, f"{path}.shortcut", x, training)
        return around + layer.get("scale", 1.0) * branch

    def inception(self, layer, path, x, training):
        branches = [self.chain(b, f"{path}.branches.{i}.", x, training) for i, b in enumerate(layer["branches"])]
        return torch.cat(branches, dim=1)


def channels_last(x):
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def channels_first(x):
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def to_rows(x):
    return channels_last(x).flatten(1)


def loss_of(loss, z, t):
    """The loss for targets t (n, targets) as Layerscope's data holds them."""
    name = loss["kind"]
    if name == "softmax_cross_entropy":
        return functional.cross_entropy(z, t.argmax(1), label_smoothing=loss.get("label_smoothing", 0.0))
    if name == "binary_cross_entropy":
        return functional.binary_cross_entropy_with_logits(z, t[:, 1:2] if z.shape[1] == 1 else t)
    if name == "mse":
        return functional.mse_loss(z, t)
    return functional.huber_loss(z, t, delta=loss.get("delta", 1.0))


def main():
    draw = np.random.default_rng(20261124)
    content = {
        "vectors": draw.normal(size=(SAMPLES, 5)),
        "images": draw.normal(size=(SAMPLES, 6, 7, 2)),
        "classes": np.eye(CLASSES)[np.arange(SAMPLES) % CLASSES],
        "two classes": np.eye(2)[np.arange(SAMPLES) % 2],
        "values": draw.normal(size=(SAMPLES, 2)),
    }
    cross = kind("softmax_cross_entropy")
    cases = {name: ("vectors", "classes", layers, cross, CLASSES) for name, layers in VECTORS.items()}
    cases |= {name: ("images", "classes", layers, cross, CLASSES) for name, layers in IMAGES.items()}
    cases |= {name: ("vectors", targets, HEAD, loss, outputs) for name, (loss, targets, outputs) in LOSSES.items()}
    for name, (inputs, targets, layers, loss, outputs) in cases.items():
        network = Network([*layers, dense(outputs)], draw)
        x = channels_first(torch.tensor(content[inputs]))
        t = torch.tensor(content[targets])
        description = {"x": inputs, "t": targets, "network": network.layers, "loss": loss}
        content[f"{name}|description"] = np.array(json.dumps(description))
        with torch.no_grad():
            network(x[:BATCH], False)  # makes the parameters
        for key, values in network.parameters.items():
            content[f"{name}|start|{key}"] = values.detach().numpy().copy()
        for step in range(STEPS):
            network.step = step
            first = step % -(-SAMPLES // BATCH) * BATCH
            z = network(x[first : first + BATCH], True)
            value = loss_of(loss, z, t[first : first + BATCH])
            gradients = torch.autograd.grad(value, list(network.parameters.values()))
            if step == 0:
                content[f"{name}|outputs"], content[f"{name}|loss"] = z.detach().numpy(), np.array(value.item())
                for key, gradient in zip(network.parameters, gradients, strict=True):
                    content[f"{name}|gradient|{key}"] = gradient.numpy().copy()
            with torch.no_grad():
                for values, gradient in zip(network.parameters.values(), gradients, strict=True):
                    values -= RATE * gradient
        for key, values in {**network.parameters, **network.statistics}.items():
            content[f"{name}|end|{key}"] = values.detach().numpy().copy()
        for path, masks in network.masks.items():
            content[f"{name}|mask|{path}"] = np.packbits(masks[0])
        with torch.no_grad():
            content[f"{name}|evaluated"] = network(x, False).numpy().copy()
    np.savez_compressed(Path(__file__).with_name("torch_layers.npz"), **content)


if __name__ == "__main__":
    main()
