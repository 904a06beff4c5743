"""How a side of a comparison talks: one line of JSON in, one out; shared by the programs for other Pythons."""

import json
import sys
import time


def serve(begin):
    """Read what is to be trained, answer what this side is; then take steps as often as asked and say how long it took.

    begin   of what was told: (what this side is, a function that takes so many steps)
    """
    about, take = begin(json.loads(sys.stdin.readline()))
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        steps = json.loads(line)["steps"]
        started = time.perf_counter()
        take(steps)
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


def sample_count(batch):
    """About a thousand samples, a whole number of minibatches."""
    return batch * max(4, 1024 // batch)


def minibatches(count, batch, shuffled):
    """Row numbers of one minibatch after the other, epoch after epoch; `shuffled(count)` is an order of the rows."""
    while True:
        order = shuffled(count)
        for start in range(0, count, batch):
            yield order[start : start + batch]
