"""Make `keras_layers.npz`: what Keras computes where it is the reference, above all convolutions padded "same" with a
stride, whose odd zeros go to the right and bottom.

Run it with Keras 3 on PyTorch (KERAS_BACKEND=torch); the tests only read the file. Everything is float64. For each case
the file holds the network in Layerscope's description, the parameters, and outputs, loss and gradients of all samples.
"""

import json
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch

SAMPLES, CLASSES = 6, 3

CASES = {
    f"same, {height} by {width}, window {size}, stride {stride}": (
        (height, width),
        {"kind": "conv2d", "filters": 2, "kernel_size": size, "stride": stride, "padding": "same"},
    )
    for height, width, size, stride in [
        (6, 6, 3, 2),
        (5, 6, 3, 2),
        (6, 5, 2, 2),
        (7, 5, 4, 2),
        (7, 6, 5, 3),
        (5, 7, 1, 2),
        (4, 3, 5, 1),
        (3, 4, 2, 1),
        (8, 7, 2, 3),
    ]
} | {
    "valid": ((6, 7), {"kind": "conv2d", "filters": 2, "kernel_size": 3, "stride": 2, "padding": "valid"}),
    "max pool": ((7, 6), {"kind": "max_pool", "size": 2, "stride": 2}),
    "max pool, overlapping": ((7, 6), {"kind": "max_pool", "size": 3, "stride": 2}),
    "average pool": ((7, 6), {"kind": "average_pool", "size": 3, "stride": 1}),
    "flatten": ((3, 4), {"kind": "flatten"}),
}


def layer_for(said):
    name = said["kind"]
    if name == "conv2d":
        return keras.layers.Conv2D(said["filters"], said["kernel_size"], said["stride"], padding=said["padding"])
    if name == "max_pool":
        return keras.layers.MaxPooling2D(said["size"], said["stride"])
    if name == "average_pool":
        return keras.layers.AveragePooling2D(said["size"], said["stride"])
    return keras.layers.Flatten()


def main():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    draw = np.random.default_rng(20261125)
    content = {"classes": np.eye(CLASSES)[np.arange(SAMPLES) % CLASSES]}
    names = {"kernel": "weight"}
    for name, ((height, width), said) in CASES.items():
        x = draw.normal(size=(SAMPLES, height, width, 2))
        content[f"x {name}"] = x
        # a convolution in front, whose gradient shows that of the layer's input, and Keras' order of a flattened image
        layers = [keras.layers.Conv2D(2, 1), layer_for(said), keras.layers.Flatten()]
        model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
        variables = {}
        for place, layer in enumerate(layers):
            for variable in layer.trainable_variables:
                key = f"{place}.{names.get(variable.name, variable.name)}"
                start = draw.normal(size=variable.shape) * 0.7
                variable.assign(start)
                variables[key] = variable.value
                content[f"{name}|start|{key}"] = start
        # The last layer and the loss are written down: on PyTorch, Keras 3.15 multiplies matrices and takes means in
        # single precision. (So there is no normalization here either; those are compared with PyTorch.)
        for key, shape in (("2.weight", (model.output_shape[1], CLASSES)), ("2.bias", (CLASSES,))):
            content[f"{name}|start|{key}"] = draw.normal(size=shape) * 0.7
            variables[key] = torch.tensor(content[f"{name}|start|{key}"], requires_grad=True)
        z = model(torch.tensor(x), training=True) @ variables["2.weight"] + variables["2.bias"]
        loss = torch.nn.functional.cross_entropy(z, torch.tensor(content["classes"]))
        loss.backward()
        network = [
            {"kind": "conv2d", "filters": 2, "kernel_size": 1},
            said,
            {"kind": "dense", "units": CLASSES},
        ]
        description = {
            "x": f"x {name}",
            "t": "classes",
            "network": network,
            "loss": {"kind": "softmax_cross_entropy"},
        }
        content[f"{name}|description"] = np.array(json.dumps(description))
        content[f"{name}|outputs"] = z.detach().numpy()
        content[f"{name}|loss"] = np.array(loss.item())
        for key, variable in variables.items():
            content[f"{name}|gradient|{key}"] = variable.grad.numpy().copy()
    np.savez_compressed(Path(__file__).with_name("keras_layers.npz"), **content)


if __name__ == "__main__":
    main()
