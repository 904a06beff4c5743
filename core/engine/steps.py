"""The first operation of every step: choose the minibatch and lay its samples and targets where the network expects
them.
"""

from __future__ import annotations

from .kernel import device, kernel
from .layout import BATCH_SIZE, INDICES, PENALTY, ROWS, SAMPLES, SHUFFLE, SHUFFLE_KEY, SHUFFLED_EPOCH, STEP
from .memory import block, matrix
from .random import draw, shuffle


@device
def gather(row, arena, data, context):  # type: ignore[no-untyped-def]
    """Copy the chosen samples and targets into the arena."""
    samples, rows, inputs, targets = context[SAMPLES], context[ROWS], row[3], row[4]
    x, t = matrix(arena, row[1], rows, inputs), matrix(arena, row[2], rows, targets)
    for i in range(rows):
        source = context[INDICES + i]
        sample = block(data, source * inputs, inputs)
        target = block(data, samples * inputs + source * targets, targets)
        for j in range(inputs):
            x[i, j] = sample[j]
        for j in range(targets):
            t[i, j] = target[j]


@kernel
def draw_minibatch(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Minibatch number STEP of an endless walk through the samples, epoch after epoch; the last of an epoch may be
    shorter.

    The order of an epoch is a function of the key and the epoch alone, so any step can be computed again by itself.
    Row: inputs, targets in the arena, inputs a sample, targets a sample.
    """
    samples, size = context[SAMPLES], context[BATCH_SIZE]
    steps = (samples + size - 1) // size
    epoch, part = context[STEP] // steps, context[STEP] % steps
    order = INDICES + size
    if context[SHUFFLED_EPOCH] != epoch:
        if context[SHUFFLE]:
            shuffle(context, order, samples, draw(context[SHUFFLE_KEY], epoch))
        else:
            for i in range(samples):
                context[order + i] = i
        context[SHUFFLED_EPOCH] = epoch
    rows = min(size, samples - part * size)
    context[ROWS] = rows
    for i in range(rows):
        context[INDICES + i] = context[order + part * size + i]
    for i in range(rows, size):
        context[INDICES + i] = -1
    gather(row, arena, data, context)


@kernel
def next_block(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Block number STEP of the samples in their own order, for evaluation. Row as in `draw_minibatch`."""
    samples, size = context[SAMPLES], context[BATCH_SIZE]
    first = context[STEP] * size
    rows = min(size, samples - first)
    context[ROWS] = rows
    for i in range(rows):
        context[INDICES + i] = first + i
    gather(row, arena, data, context)


@kernel
def add_share(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """A second reader's share of a gradient is added to the first's. Row: gradient, share, width."""
    count = context[ROWS] * row[3]
    gradient, share = block(arena, row[1], count), block(arena, row[2], count)
    for i in range(count):
        gradient[i] += share[i]


@kernel
def begin_penalty(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Penalties on the weights are added up from zero. Row: nothing."""
    statistics[PENALTY] = 0.0
