"""Editing by path: layers in the network, in blocks and in branches; everything else stays as it was."""

import pytest

from layerscope.core import editing
from layerscope.core.errors import InputError
from layerscope.core.experiment import from_json, identity, to_json, value_at
from layerscope.core.layers.activation import ActivationLayer
from layerscope.core.layers.dense import Dense
from layerscope.core.network import plan
from layerscope.core.run import Run
from tests.experiments import act, dense, experiment

RELU = ActivationLayer(function="relu")


def block(*layers, **settings):
    return {"kind": "residual", "body": list(layers), **settings}


@pytest.fixture
def nested():
    """Paths: 0 dense, 1 block (1.body.0 dense, 1.body.1 block (1.body.1.body.0 tanh)), 2 relu, 3 dense."""
    return experiment(dense(8), block(dense(8), block(act("tanh"))), act("relu"), dense(10))


def titles(layers):
    return [layer.title() for layer in layers]


def test_every_list_has_a_place(nested):
    assert list(editing.lists_of(nested)) == ["network", "network.1.body", "network.1.body.1.body"]
    assert editing.split("1.body.1.body.0") == ("network.1.body.1.body", 0)
    assert editing.path_of("network.1.body", 1) == "1.body.1"
    assert editing.path_of("network", 3) == "3"
    assert editing.in_list("1.body.1")
    assert not editing.in_list("1.shortcut")


def test_layers_are_put_into_lists_at_every_depth(nested):
    for place in editing.lists_of(nested):
        before = editing.layers_at(nested, place)
        for index in range(len(before) + 1):
            after = editing.layers_at(editing.inserted(nested, place, index, RELU), place)
            assert after == (*before[:index], RELU, *before[index:])


def test_taking_out_undoes_putting_in_and_duplicating(nested):
    for place in editing.lists_of(nested):
        for index in range(len(editing.layers_at(nested, place))):
            path = editing.path_of(place, index)
            assert editing.deleted(editing.inserted(nested, place, index, RELU), path) == nested
            assert editing.deleted(editing.duplicated(nested, path), path) == nested


def test_a_layer_moves_between_every_two_lists_and_back(nested):
    for path in ("0", "1.body.0", "1.body.1.body.0", "2"):
        layer = editing.layer_at(nested, path)
        start, index = editing.split(path)
        for place in editing.lists_of(nested):
            for gap in range(len(editing.layers_at(nested, place)) + 1):
                changed, there = editing.moved(nested, path, place, gap)
                assert editing.layer_at(changed, there) == layer
                home, _at = editing.split(there)
                # back to where it came from; a gap behind its own place lies one further
                way = index if home != start or editing.split(there)[1] > index else index + 1
                # the block it left may stand elsewhere now
                target = start
                if home != start and start.startswith(f"{home}."):
                    first, _dot, rest = start.removeprefix(f"{home}.").partition(".")
                    shifted = int(first) + (1 if int(first) >= editing.split(there)[1] else 0)
                    target = f"{home}.{shifted}.{rest}"
                assert editing.moved(changed, there, target, way)[0] == nested


def test_out_of_a_block_and_into_one_behind(nested):
    changed, there = editing.moved(nested, "1.body.0", "network", 0)
    assert there == "0"
    assert titles(changed.network) == ["Dense", "Dense", "Residual block", "ReLU", "Dense"]
    changed, there = editing.moved(nested, "0", "network.1.body", 2)
    assert there == "0.body.2"
    assert titles(editing.layers_at(changed, "network.0.body")) == ["Dense", "Residual block", "Dense"]


@pytest.mark.parametrize("place", ["network.1.body", "network.1.body.1.body"])
def test_a_block_does_not_go_into_itself(nested, place):
    with pytest.raises(InputError, match="into itself"):
        editing.moved(nested, "1", place, 0)


@pytest.mark.parametrize("path", ["9", "0.body.0", "1.body.7", "1.shortcut", "x", "0.units"])
def test_what_is_not_there_is_refused(nested, path):
    with pytest.raises(InputError):
        editing.deleted(nested, path)


def test_what_a_list_may_not_hold_is_refused(nested):
    with pytest.raises(InputError, match="at most 100") as caught:
        editing.replaced(nested, "network.1.body", (RELU,) * 101)
    assert caught.value.place == "network.1.body"


# --- muted layers


def test_a_muted_layer_is_passed_over_and_the_others_keep_their_places_and_draws(nested):
    quiet = editing.muted(editing.muted(nested, "1.body.1"), "2")
    paths = [card.path for card in plan(quiet).cards]
    assert paths == ["0", "1.body.0", "1", "3"]
    loud, still = Run(nested), Run(quiet)
    before, after = loud.parameters(), still.parameters()
    assert set(after) == {name for name in before if name in after} != set()
    for name, values in after.items():
        assert (before[name] == values).all(), name
    still.advance(3)
    assert still.record.layers == ("0", "1.body.0", "1", "3")


def test_a_muted_network_trains_like_one_without_the_layer():
    with_it = experiment(dense(12), act("tanh"), {"kind": "dropout", "rate": 0.5}, act("identity"), dense(10))
    quiet = Run(editing.muted(with_it, "2"))
    other = Run(editing.replaced(with_it, "network.2", ActivationLayer(function="identity")))
    for run in (quiet, other):
        run.advance(20)
    assert quiet.last_loss == other.last_loss
    assert quiet.last_loss != Run(with_it).last_loss


def test_all_layers_muted_is_a_problem_with_a_way_out():
    quiet = editing.muted(experiment(dense(10)), "0")
    assert "all layers are muted" in plan(quiet).problems[0][1]
    assert plan(editing.muted(quiet, "0", False)).problems == ()


def test_files_speak_of_being_muted_only_where_it_is_so(nested):
    assert b"muted" not in to_json(nested)
    quiet = editing.muted(nested, "1.body.0")
    assert to_json(quiet).count(b'"muted": true') == 1
    assert from_json(to_json(quiet)) == quiet
    assert identity(quiet) != identity(nested)
    assert value_at(quiet, "network.1.body.0.muted") is True


def test_a_wrapped_or_nested_dense_is_not_the_top_level_one(nested):
    changed = editing.replaced(nested, "network.1.body.0", Dense(units=8, bias=False))
    assert editing.layer_at(changed, "1.body.0") == Dense(units=8, bias=False)
    assert changed.network[0] == nested.network[0]
