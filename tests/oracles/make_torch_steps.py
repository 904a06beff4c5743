"""Make `torch_steps.npz`: 100 training steps of every optimizer, clipping, regularizer and schedule, as PyTorch takes
them (and Keras for Lion, Nadam and early stopping).

Run it with PyTorch 2.x and Keras 3 installed and KERAS_BACKEND=torch; the tests only read the file. Everything is
float64. `CASES` are settings of our experiments; each is trained here with torch.optim, torch.nn.utils and
torch.optim.lr_scheduler. The network is 5-7-6-3 with tanh; minibatches are 4, 4 and 3 of 11 samples in their order.
"""

import json
import os
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn, update_bn

torch.set_default_dtype(torch.float64)  # the product that NAdam keeps is otherwise float32
keras.backend.set_floatx("float64")

SIZES = (5, 7, 6, 3)
SAMPLES, BATCH, STEPS = 11, 4, 100
PER_EPOCH = -(-SAMPLES // BATCH)

OPTIMIZERS = {
    "sgd": {"kind": "sgd", "learning_rate": 0.2},
    "momentum": {"kind": "momentum", "learning_rate": 0.05, "momentum": 0.8},
    "nesterov": {"kind": "nesterov", "learning_rate": 0.05, "momentum": 0.8},
    "normalized_gradient": {"kind": "normalized_gradient", "learning_rate": 0.05},
    "adagrad": {"kind": "adagrad", "learning_rate": 0.05},
    "rmsprop": {"kind": "rmsprop", "learning_rate": 0.004, "decay": 0.95},
    "adam": {"kind": "adam", "learning_rate": 0.01, "beta1": 0.8, "beta2": 0.99},
    "adamw": {"kind": "adamw", "learning_rate": 0.01, "weight_decay": 0.05},
    "nadam": {"kind": "nadam", "learning_rate": 0.01},
    "nadam_of_keras": {"kind": "nadam", "learning_rate": 0.01, "psi": 1.0, "epsilon": 1e-7},
    "lion": {"kind": "lion", "learning_rate": 0.003, "weight_decay": 0.02},
}
GLOBAL = {"kind": "global_norm", "threshold": 0.4}
DECAYS = [{"kind": "l2", "strength": 0.01}, {"kind": "decoupled", "strength": 0.02}]
SCHEDULES = {
    "constant": {"kind": "constant"},
    "exponential": {"kind": "exponential", "factor": 0.9},
    "exponential_step": {"kind": "exponential", "factor": 0.97, "every": "step"},
    "step": {"kind": "step", "factor": 0.3, "every": 7},
    "cosine": {"kind": "cosine", "final_factor": 0.05},
    "one_cycle": {"kind": "one_cycle", "peak_factor": 10.0, "warmup_share": 0.3, "final_factor": 1e-4},
    "warmup": {"kind": "warmup", "steps": 9, "start_factor": 0.1},
    "warmup_cosine": {"kind": "warmup", "steps": 9, "start_factor": 0.1, "then": {"kind": "cosine"}},
}

CASES = {name: {"optimizer": optimizer} for name, optimizer in OPTIMIZERS.items()}
CASES |= {
    f"{name}.all": {
        "optimizer": optimizer,
        "schedule": SCHEDULES["warmup_cosine"],
        "clipping": GLOBAL,
        "regularizers": DECAYS,
    }
    for name, optimizer in OPTIMIZERS.items()
}
CASES |= {
    f"schedule.{name}": {"optimizer": OPTIMIZERS["adam"], "schedule": schedule} for name, schedule in SCHEDULES.items()
}
CASES |= {
    f"clipping.{kind}": {
        "optimizer": OPTIMIZERS["momentum"],
        "clipping": {"kind": kind, "threshold": threshold},
        "regularizers": [{"kind": "l1", "strength": 0.003}],
    }
    for kind, threshold in (("global_norm", 0.3), ("divide_by_norm", 0.3), ("layer_norm", 0.15), ("value", 0.03))
}
CASES |= {
    f"regularizer.{part['kind']}": {"optimizer": OPTIMIZERS["adam"], "regularizers": [part]}
    for part in (
        {"kind": "l1", "strength": 0.01},
        {"kind": "l2", "strength": 0.01},
        {"kind": "decoupled", "strength": 0.1},
        {"kind": "max_norm", "limit": 1.5},
    )
}


def optimizer_for(settings, weights, biases):
    rate = settings["learning_rate"]
    both = [*weights, *biases]
    betas = settings.get("beta1", 0.9), settings.get("beta2", 0.999)
    match settings["kind"]:
        case "sgd" | "normalized_gradient":
            return torch.optim.SGD(both, lr=rate)
        case "momentum":
            return torch.optim.SGD(both, lr=rate, momentum=settings["momentum"])
        case "nesterov":
            return torch.optim.SGD(both, lr=rate, momentum=settings["momentum"], nesterov=True)
        case "adagrad":
            return torch.optim.Adagrad(both, lr=rate)
        case "rmsprop":
            return torch.optim.RMSprop(both, lr=rate, alpha=settings["decay"])
        case "adam":
            return torch.optim.Adam(both, lr=rate, betas=betas)
        case "adamw":
            groups = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
            return torch.optim.AdamW(groups, lr=rate, betas=betas, weight_decay=settings["weight_decay"])
        case "nadam" if "psi" not in settings:
            return torch.optim.NAdam(both, lr=rate, betas=betas)
        case "nadam":
            return Keras(keras.optimizers.Nadam(learning_rate=rate), both)
        case "lion":
            return Keras(keras.optimizers.Lion(learning_rate=rate), both, weights, settings["weight_decay"])


class Keras(torch.optim.Optimizer):
    """An optimizer of Keras behind the face of one of PyTorch. Its own weight decay would act on biases too."""

    def __init__(self, optimizer, tensors, decayed=(), decay=0.0):
        super().__init__(tensors, {"lr": float(optimizer.learning_rate.value)})
        self.optimizer, self.tensors, self.decayed, self.decay = optimizer, tensors, decayed, decay
        self.variables = [keras.Variable(t.detach().numpy()) for t in tensors]
        optimizer.build(self.variables)

    def step(self):
        rate = self.param_groups[0]["lr"]
        with torch.no_grad():
            for tensor in self.decayed:
                tensor.mul_(1.0 - rate * self.decay)
            self.optimizer.learning_rate.assign(rate)
            for variable, tensor in zip(self.variables, self.tensors, strict=True):
                variable.assign(tensor.detach())
            self.optimizer.apply([t.grad for t in self.tensors], self.variables)
            for variable, tensor in zip(self.variables, self.tensors, strict=True):
                tensor.copy_(variable.value)


def scheduler_for(settings, optimizer, steps):
    """(scheduler, how many of our steps one of its steps is)."""
    match settings["kind"]:
        case "constant":
            return lr_scheduler.ConstantLR(optimizer, factor=1.0), 1
        case "exponential":
            every = 1 if settings.get("every") == "step" else PER_EPOCH
            return lr_scheduler.ExponentialLR(optimizer, settings["factor"]), every
        case "step":
            return lr_scheduler.StepLR(optimizer, settings["every"], settings["factor"]), PER_EPOCH
        case "cosine":
            least = optimizer.param_groups[0]["lr"] * settings.get("final_factor", 0.0)
            return lr_scheduler.CosineAnnealingLR(optimizer, steps, least), 1
        case "one_cycle":
            return lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=optimizer.param_groups[0]["lr"] * settings["peak_factor"],
                total_steps=steps,
                pct_start=settings["warmup_share"],
                div_factor=settings["peak_factor"],
                final_div_factor=1.0 / settings["final_factor"],
                cycle_momentum=False,
            ), 1
        case "warmup":
            rise = settings["steps"]
            later, every = scheduler_for(settings.get("then", {"kind": "constant"}), optimizer, steps - rise)
            assert every == 1
            first = lr_scheduler.LinearLR(optimizer, settings["start_factor"], 1.0, rise)
            return lr_scheduler.SequentialLR(optimizer, [first, later], [rise]), 1


def clip(settings, weights, biases):
    both = [*weights, *biases]
    limit = settings["threshold"]
    match settings["kind"]:
        case "global_norm":
            torch.nn.utils.clip_grad_norm_(both, limit)
        case "layer_norm":
            for pair in zip(weights, biases, strict=True):
                torch.nn.utils.clip_grad_norm_(pair, limit)
        case "value":
            torch.nn.utils.clip_grad_value_(both, limit)
        case "divide_by_norm":
            divide(both, limit)


def divide(tensors, above=0.0):
    norm = torch.nn.utils.get_total_norm([t.grad for t in tensors])
    if norm > above:
        for tensor in tensors:
            tensor.grad /= norm


def train(training, start, inputs, classes):
    """(losses, rates, final parameters one after the other)."""
    p = [torch.tensor(s, requires_grad=True) for s in start]
    weights, biases = p[::2], p[1::2]
    optimizer = optimizer_for(training["optimizer"], weights, biases)
    scheduler, every = scheduler_for(training.get("schedule", {"kind": "constant"}), optimizer, planned_steps())
    parts = training.get("regularizers", [])
    losses, rates = [], []
    for step in range(STEPS):
        part = step % PER_EPOCH
        chosen = slice(part * BATCH, (part + 1) * BATCH)
        h = torch.tanh(inputs[chosen] @ p[0] + p[1])
        h = torch.tanh(h @ p[2] + p[3])
        loss = torch.nn.functional.cross_entropy(h @ p[4] + p[5], classes[chosen])
        losses.append(loss.item())
        rate = optimizer.param_groups[0]["lr"]
        rates.append(rate)
        for regularizer in parts:
            match regularizer["kind"]:
                case "l2":
                    loss = loss + regularizer["strength"] / 2 * sum((w * w).sum() for w in weights)
                case "l1":
                    loss = loss + regularizer["strength"] * sum(w.abs().sum() for w in weights)
        optimizer.zero_grad()
        loss.backward()
        if "clipping" in training:
            clip(training["clipping"], weights, biases)
        if training["optimizer"]["kind"] == "normalized_gradient":
            divide(p)
        with torch.no_grad():
            for regularizer in parts:
                if regularizer["kind"] == "decoupled":
                    for w in weights:
                        w.mul_(1.0 - rate * regularizer["strength"])
        if any(r["kind"] == "decoupled" for r in parts) and training["optimizer"]["kind"] in ("adamw", "lion"):
            undo_second_order(training["optimizer"], parts, weights, rate)
        optimizer.step()
        with torch.no_grad():
            for regularizer in parts:
                if regularizer["kind"] == "max_norm":
                    for w in weights:
                        w.mul_((regularizer["limit"] / w.norm(dim=0, keepdim=True)).clamp(max=1.0))
        if (step + 1) % every == 0:
            scheduler.step()
    return np.array(losses), np.array(rates), np.concatenate([t.detach().numpy().ravel() for t in p])


def undo_second_order(optimizer, parts, weights, rate):
    """Two decays one after the other shrink by (1 - a)(1 - b); ours are links of one chain that all see the weights
    before the step: 1 - a - b.
    """
    a = rate * optimizer["weight_decay"]
    b = rate * sum(r["strength"] for r in parts if r["kind"] == "decoupled")
    with torch.no_grad():
        for w in weights:
            w.mul_((1.0 - a - b) / ((1.0 - a) * (1.0 - b)))


def planned_steps():
    """Our schedules end with the last planned epoch."""
    return -(-STEPS // PER_EPOCH) * PER_EPOCH


def averages(start, inputs, classes):
    """Weights and running statistics of an EMA and of SWA with batch norm, in PyTorch's order (outputs first)."""
    found = {}
    for name, average in (("ema", get_ema_avg_fn(0.9)), ("swa", None)):
        model = torch.nn.Sequential(
            torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7), torch.nn.Tanh(), torch.nn.Linear(7, 3)
        )
        with torch.no_grad():
            for tensor, values in zip(
                (model[0].weight, model[0].bias, model[3].weight, model[3].bias),
                (start[0].T, start[1], start[2].T[:3], start[5]),
                strict=True,
            ):
                tensor.copy_(torch.tensor(values))
        averaged = AveragedModel(model, avg_fn=average)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loader = [(inputs[i : i + BATCH], classes[i : i + BATCH]) for i in range(0, SAMPLES, BATCH)]
        for step in range(60):
            x, y = loader[step % PER_EPOCH]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            epoch, rest = divmod(step + 1, PER_EPOCH)
            if name == "ema" or (rest == 0 and epoch >= 4 and (epoch - 4) % 3 == 0):
                averaged.update_parameters(model)
        if name == "swa":
            update_bn(loader, averaged)
        for key, tensor in averaged.module.state_dict().items():
            found[f"{name}.{key}"] = tensor.numpy()
    return found


def plateaus(draw):
    """Validation losses, with the learning rates of ReduceLROnPlateau, and where Keras' EarlyStopping stops."""
    losses = np.concatenate([np.exp(-np.arange(12) / 4), 0.06 + 0.02 * draw.random(28), 0.03 + 0.02 * draw.random(30)])
    losses[20] = np.nan
    found = {"plateau.losses": losses}
    for patience, least in ((0, 0.0), (2, 0.0), (3, 0.01)):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=patience, threshold=least, threshold_mode="abs", eps=0.0
        )
        rates = []
        for loss in losses:
            optimizer.step()
            scheduler.step(loss)
            rates.append(optimizer.param_groups[0]["lr"])
        found[f"plateau.{patience}.{least}"] = np.array(rates)
    for patience, least in ((0, 0.0), (1, 0.0), (4, 0.0), (3, 0.01), (50, 0.0)):
        callback = keras.callbacks.EarlyStopping("val_loss", min_delta=least, patience=patience, mode="min")
        callback.set_model(keras.Sequential([keras.layers.Dense(1)]))
        callback.model.stop_training = False
        callback.on_train_begin()
        stopped = len(losses)
        for epoch, loss in enumerate(losses):
            callback.on_epoch_end(epoch, {"val_loss": loss})
            if callback.model.stop_training:
                stopped = epoch + 1
                break
        found[f"stopping.{patience}.{least}"] = np.array([stopped, callback.best_epoch + 1])
    return found


def main():
    draw = np.random.default_rng(20261124)
    x = draw.normal(size=(SAMPLES, SIZES[0]))
    y = np.arange(SAMPLES) % SIZES[-1]
    start = []
    for n, m in pairwise(SIZES):
        start += [draw.normal(size=(n, m)) * 0.8, draw.normal(size=m) * 0.3]
    content = {"x": x, "y": y, "cases": np.array(json.dumps(CASES))}
    content |= {f"start.{i}": p for i, p in enumerate(start)}
    inputs, classes = torch.tensor(x), torch.tensor(y)
    for name, training in CASES.items():
        losses, rates, weights = train(training, start, inputs, classes)
        content |= {f"{name}.loss": losses, f"{name}.rate": rates, f"{name}.weights": weights}
    content |= averages(start, inputs, classes)
    content |= plateaus(draw)
    adagrad = keras.optimizers.Adagrad()
    content["keras.adagrad"] = np.array([adagrad.initial_accumulator_value, adagrad.epsilon])
    np.savez_compressed(Path(__file__).with_name("torch_steps.npz"), **content)


if __name__ == "__main__":
    main()
