"""scikit-learn's MLP as a side of a comparison: `partial_fit`, minibatch by minibatch. Runs in a Python that has it."""

import warnings

import numpy as np
import sklearn
from protocol import minibatches, sample_count, serve
from sklearn.neural_network import MLPClassifier


def begin(told):
    warnings.simplefilter("ignore")
    work = told["workload"]
    units = [layer["units"] for layer in work["layers"] if layer["kind"] == "dense"]
    functions = {layer["function"] for layer in work["layers"] if layer["kind"] == "activation"}
    if len(functions) != 1 or any(layer["kind"] not in ("dense", "activation") for layer in work["layers"]):
        raise ValueError("scikit-learn's MLP cannot be this network")
    optimizer = work["training"]["optimizer"]
    net = MLPClassifier(
        hidden_layer_sizes=tuple(units[:-1]),
        activation=functions.pop(),
        solver=optimizer["kind"],
        learning_rate_init=optimizer["learning_rate"],
        momentum=0.0,
        nesterovs_momentum=False,
        alpha=0.0,
        batch_size=work["batch"],
    )
    batch, classes = work["batch"], np.arange(work["classes"])
    count = sample_count(batch)
    draw = np.random.default_rng(0)
    x = draw.standard_normal((count, *work["inputs"])).astype(np.float32)
    y = draw.integers(0, work["classes"], count)
    net.partial_fit(x[:batch], y[:batch], classes=classes)

    source = minibatches(count, batch, draw.permutation)

    def take(steps):
        for _ in range(steps):
            rows = next(source)
            net.partial_fit(x[rows], y[rows])

    take(5)
    return {"version": sklearn.__version__, "threads": told["threads"]}, take


if __name__ == "__main__":
    serve(begin)
