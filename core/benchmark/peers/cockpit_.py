"""PyTorch with Cockpit's economy set of instruments as a side of a comparison. Runs in a Python that has both."""

from importlib import metadata

import torch
from backpack import extend
from cockpit import Cockpit
from cockpit.utils.configuration import configuration
from protocol import sample_count, serve

FUNCTIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}


def begin(told):
    work = told["workload"]
    if any(layer["kind"] not in ("dense", "activation") for layer in work["layers"]) or len(work["inputs"]) > 1:
        raise ValueError("Cockpit is compared on networks of dense layers")
    torch.set_num_threads(told["threads"])
    torch.manual_seed(0)
    width, layers = work["inputs"][0], []
    for layer in work["layers"]:
        if layer["kind"] == "dense":
            layers.append(torch.nn.Linear(width, layer["units"]))
            width = layer["units"]
        else:
            layers.append(FUNCTIONS[layer["function"]]())
    net = extend(torch.nn.Sequential(*layers))
    loss_of = extend(torch.nn.CrossEntropyLoss())
    single_loss_of = torch.nn.CrossEntropyLoss(reduction="none")
    optimizer = torch.optim.SGD(net.parameters(), lr=work["training"]["optimizer"]["learning_rate"])
    cockpit = Cockpit(net.parameters(), quantities=configuration("economy"))
    batch = work["batch"]
    count = sample_count(batch)
    x_all, y_all = torch.randn(count, *work["inputs"]), torch.randint(0, work["classes"], (count,))
    place = 0

    def take(steps):
        nonlocal place
        for _ in range(steps):
            rows = torch.randint(0, count, (batch,))
            x, y = x_all[rows], y_all[rows]
            optimizer.zero_grad()
            outputs = net(x)
            loss = loss_of(outputs, y)
            with cockpit(
                place,
                info={
                    "batch_size": batch,
                    "individual_losses": single_loss_of(outputs, y),
                    "loss": loss,
                    "optimizer": optimizer,
                },
            ):
                loss.backward(create_graph=cockpit.create_graph(place))
            optimizer.step()
            place += 1

    take(5)
    version = metadata.version("cockpit-for-pytorch")
    return {"version": f"{version} (PyTorch {torch.__version__})", "threads": torch.get_num_threads()}, take


if __name__ == "__main__":
    serve(begin)
