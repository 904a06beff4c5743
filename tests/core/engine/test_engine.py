"""The engine compiles nothing for a new network, holds no lock, multiplies right, and draws what NumPy draws."""

import threading

import numpy as np
import pytest
from experiments import act, dense, experiment

from layerscope.core.activations import ACTIVATIONS
from layerscope.core.engine import cache, executor, kernel, random
from layerscope.core.engine.blas import TINY, gemm_address, times, times_transposed, transposed_times
from layerscope.core.engine.kernel import compile_kernels
from layerscope.core.engine.layout import GEMM, INDICES
from layerscope.core.run import Run


def test_a_network_never_seen_before_compiles_nothing():
    everything = [part for name in ACTIVATIONS.names() for part in (dense(5), act(name))]
    Run(experiment(*everything, dense(10), optimizer={"kind": "momentum"})).advance(2)
    compiled, signatures = dict(kernel._addresses), len(executor.execute.signatures)
    for layers in (
        [dense(10)],
        [dense(77), act("gelu"), dense(3), act("selu"), dense(10)],
        [dense(4, "orthogonal", bias=False), act("hard_tanh"), act("softplus"), dense(10)],
    ):
        Run(experiment(*layers, batch_size=5, optimizer={"kind": "momentum"})).advance(3)
    assert kernel._addresses == compiled
    assert len(executor.execute.signatures) == signatures


def test_only_the_kernels_that_a_program_needs_are_loaded():
    run = Run(experiment(dense(4), act("tanh"), dense(10)))
    names = {k.__name__ for k in run.program.kernels}
    assert {"dense_forward", "tanh_forward", "sgd_update"} <= names
    assert not {"relu_forward", "momentum_update", "squared_error_forward"} & names


def test_the_loop_holds_no_interpreter_lock():
    run = Run(experiment(dense(100), act("relu"), dense(100), act("relu"), dense(10), batch_size=64))
    run.advance(10)
    lines = run.begin_lines(3000)
    working, counted = threading.Event(), [0]

    def work():
        working.set()
        run.machine.execute(lines, 10, 0, len(run.program.table))
        working.clear()

    thread = threading.Thread(target=work)
    thread.start()
    working.wait()
    while working.is_set():
        counted[0] += 1
    thread.join()
    # Under the lock this thread would not have got a turn during the one call: a handful of counts at most.
    assert counted[0] > 10_000
    assert np.isfinite(lines[:, 0]).all()


# kernels of the tests' own: products at the beginning of the arena


@kernel.kernel
def product(row, arena, data, context, hyper, statistics):
    """Row: which, a, b, c, m, k, n."""
    if row[1] == 0:
        times(context[GEMM], arena, row[2], row[3], row[4], row[5], row[6], row[7])
    elif row[1] == 1:
        times_transposed(context[GEMM], arena, row[2], row[3], row[4], row[5], row[6], row[7])
    else:
        transposed_times(context[GEMM], arena, row[2], row[3], row[4], row[5], row[6], row[7])


@kernel.kernel
def draws(row, arena, data, context, hyper, statistics):
    """Row: key, count. Leaves the upper 52 bits of the draws, as numbers in (0, 1), in `hyper`."""
    for i in range(row[2]):
        hyper[i] = (np.float64(random.draw(row[1], i) >> np.uint64(12)) + 0.5) * 2.0**-52


@kernel.kernel
def orders(row, arena, data, context, hyper, statistics):
    """Row: key, count. Leaves a random order in the context."""
    random.shuffle(context, 0, row[2], row[1])


def call(function, row, arena=None, context=None, hyper=None, precision="float64"):
    """Run one kernel of the tests on given arrays."""
    address = next(iter(compile_kernels([function], precision).values()))
    nothing = np.zeros(1, dtype=precision)
    table = np.array([[0, *row]], dtype=np.int64)
    executor.execute(
        table,
        np.array([address]),
        nothing if arena is None else arena,
        nothing,
        np.zeros(INDICES, dtype=np.int64) if context is None else context,
        np.zeros(1) if hyper is None else hyper,
        np.zeros((1, 1)),
        0,
        1,
        0,
        1,
    )


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 3, 5), (4, 4, 4), (5, 4, 4), (1, 64, 1), (1, 65, 1), (33, 17, 70)])
@pytest.mark.parametrize("which", ["times", "times_transposed", "transposed_times"])
def test_products_are_those_of_numpy(which, sizes, precision):
    m, k, n = sizes
    draw = np.random.default_rng(m * k * n)
    a, b = draw.normal(size=(m, k)).astype(precision), draw.normal(size=(k, n)).astype(precision)
    expected = a.astype(float) @ b.astype(float)
    stored = {"times": (a, b), "times_transposed": (a, b.T), "transposed_times": (a.T, b)}[which]
    flat = [np.ascontiguousarray(part).ravel() for part in stored]
    arena = np.concatenate([*flat, np.full(m * n, np.nan, dtype=precision)])
    context = np.zeros(INDICES, dtype=np.int64)
    context[GEMM] = gemm_address(precision)
    number = ["times", "times_transposed", "transposed_times"].index(which)
    call(product, [number, 0, m * k, m * k + k * n, m, k, n], arena, context, precision=precision)
    tolerance = 1e-12 if precision == "float64" else 1e-5
    np.testing.assert_allclose(arena[-m * n :].reshape(m, n), expected, rtol=tolerance, atol=tolerance * np.sqrt(k))


def test_products_on_both_sides_of_the_limit_are_compared():
    assert TINY == 64


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_kernels_and_numpy_draw_the_same_numbers(seed):
    stream = random.key(seed, "test", "here")
    hyper = np.zeros(1000)
    call(draws, [stream, 1000], hyper=hyper)
    np.testing.assert_array_equal(hyper, random.uniform(stream, 1000))


def test_draws_are_even_and_independent():
    u = random.uniform(random.key(0, "a"), 100_000)
    v = random.uniform(random.key(0, "b"), 100_000)
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(u.var() - 1 / 12) < 0.002
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.02
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.02
    assert 0 < u.min() < 1e-3
    assert 1 - 1e-3 < u.max() < 1
    z = random.normal(random.key(0, "a"), 100_000)
    assert abs(z.std() - 1) < 0.01
    assert np.array_equal(np.argsort(u), np.argsort(z))


def test_a_part_of_a_stream_can_be_drawn_alone():
    stream = random.key(3, "x")
    np.testing.assert_array_equal(random.bits(stream, 100)[40:60], random.bits(stream, 20, first=40))


def test_keys_differ_in_every_part():
    parts = [
        (0, "init", "0.weight", 0),
        (1, "init", "0.weight", 0),
        (0, "data", "0.weight", 0),
        (0, "init", "2.weight", 0),
    ]
    keys = {random.key(*part) for part in [*parts, (0, "init", "0.weight", 1)]}
    assert len(keys) == 5


def test_shuffling_gives_every_order_its_share():
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(2400):
        context = np.zeros(INDICES, dtype=np.int64)
        call(orders, [random.key(seed, "order"), 4], context=context)
        counts[tuple(context[:4])] = counts.get(tuple(context[:4]), 0) + 1
    assert len(counts) == 24
    assert min(counts.values()) > 60
    assert max(counts.values()) < 150


def test_the_cache_folder_follows_the_sources(monkeypatch, tmp_path):
    (tmp_path / "engine").mkdir()
    source = tmp_path / "engine" / "a.py"
    source.write_text("x = 1\n")
    monkeypatch.setattr(cache, "CORE", tmp_path)
    before = cache.sources_hash.__wrapped__()
    assert cache.sources_hash.__wrapped__() == before
    source.write_text("x = 2\n")
    assert cache.sources_hash.__wrapped__() != before


def test_the_cache_folder_follows_kernels_wherever_they_are_and_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "CORE", tmp_path)
    before = cache.sources_hash.__wrapped__()
    other = tmp_path / "figure.py"
    other.write_text("x = 1\n")
    assert cache.sources_hash.__wrapped__() == before
    other.write_text("@kernel\ndef k(row): pass\n")
    assert cache.sources_hash.__wrapped__() != before
