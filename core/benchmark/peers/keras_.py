"""Keras as a side of a comparison, bare: `train_on_batch` over arrays in memory. Runs in a Python with Keras."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from protocol import minibatches, sample_count, serve


def stack(x, layers):
    for layer in layers:
        kind = layer["kind"]
        if kind == "dense":
            if len(x.shape) > 2:
                x = keras.layers.Flatten()(x)
            x = keras.layers.Dense(layer["units"], kernel_initializer="he_normal")(x)
        elif kind == "conv2d":
            x = keras.layers.Conv2D(layer["filters"], layer["kernel_size"])(x)
        elif kind == "max_pool":
            x = keras.layers.MaxPooling2D(2)(x)
        elif kind == "flatten":
            x = keras.layers.Flatten()(x)
        elif kind == "activation":
            x = keras.layers.Activation(layer["function"])(x)
        elif kind == "dropout":
            x = keras.layers.Dropout(layer["rate"])(x)
        elif kind == "batch_norm":
            x = keras.layers.BatchNormalization()(x)
        elif kind == "residual":
            x = keras.layers.Add()([x, stack(x, layer["body"])])
        else:
            raise ValueError(kind)
    return x


def begin(told):
    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(told["threads"])
    work = told["workload"]
    inputs, batch, classes = tuple(work["inputs"]), work["batch"], work["classes"]
    given = keras.Input(inputs)
    net = keras.Model(given, stack(given, work["layers"]))
    optimizer = work["training"]["optimizer"]
    kinds = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}
    clip = work["training"].get("clipping")
    options = {"global_clipnorm": clip["threshold"]} if clip else {}
    rate = optimizer["learning_rate"]
    count = sample_count(batch)
    if work["training"].get("schedule"):
        rate = keras.optimizers.schedules.CosineDecay(rate, 1000 * (count // batch))
    net.compile(
        optimizer=kinds[optimizer["kind"]](learning_rate=rate, **options),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    draw = np.random.default_rng(0)
    x = draw.standard_normal((count, *inputs)).astype(np.float32)
    y = draw.integers(0, classes, count)

    source = minibatches(count, batch, draw.permutation)

    def take(steps):
        for _ in range(steps):
            rows = next(source)
            net.train_on_batch(x[rows], y[rows])

    take(5)
    return {"version": f"{keras.__version__} ({keras.backend.backend()})", "threads": told["threads"]}, take


if __name__ == "__main__":
    serve(begin)
