"""Proposals are applied like edits of a file, layers put in and taken out included."""

import pytest

from layerscope.core.diagnostics.proposal import Insert, Proposal, Remove, settings_named
from layerscope.core.errors import InputError
from tests.experiments import dense, experiment


def network():
    return experiment(dense(8), {"kind": "activation", "function": "relu"}, dense(10))


def test_settings_change_in_order():
    changed = Proposal(
        "", (("training.optimizer.learning_rate", 0.01), ("training.clipping", {"kind": "global_norm", "threshold": 2}))
    ).apply(network())
    assert changed.training.optimizer.learning_rate == 0.01
    assert changed.training.clipping.threshold == 2.0


def test_layers_are_put_in_and_taken_out():
    norm = {"kind": "batch_norm"}
    both = Proposal("", (("network.2", Insert(norm)), ("network.0", Insert(norm)))).apply(network())
    assert [layer.kind_name() for layer in both.network] == ["batch_norm", "dense", "activation", "batch_norm", "dense"]
    behind = Proposal("", (("network.3", Insert(norm)),)).apply(network())
    assert behind.network[3].kind_name() == "batch_norm"
    assert Proposal("", (("network.3", Remove()),)).apply(behind) == network()


def test_a_layer_is_put_into_a_block():
    block = {"kind": "residual", "body": [dense(8)]}
    changed = Proposal("", (("network.1.body.0", Insert({"kind": "layer_norm"})),)).apply(
        experiment(dense(8), block, dense(10))
    )
    assert [layer.kind_name() for layer in changed.network[1].body] == ["layer_norm", "dense"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("training.nothing", 1),
        ("training.optimizer.learning_rate", -1.0),
        ("network.9", Insert({"kind": "flatten"})),
        ("network.3", Remove()),
        ("network.0.layer", Insert({"kind": "flatten"})),
        ("network.0", Insert({"kind": "nothing"})),
    ],
)
def test_what_does_not_fit_is_refused(path, value):
    proposal = Proposal("", ((path, value),))
    assert not proposal.fits(network())
    with pytest.raises(InputError):
        proposal.apply(network())


def test_a_proposal_that_changes_nothing_does_not_fit():
    assert not Proposal("", (("network.1.function", "relu"),)).fits(network())
    assert Proposal("", (("network.1.function", "tanh"),)).fits(network())


def test_plain_values_for_files():
    proposal = Proposal("try", (("network.0.units", 4), ("network.1", Insert({"kind": "flatten"})), ("x", Remove())))
    assert proposal.to_plain() == {
        "text": "try",
        "changes": [
            {"path": "network.0.units", "value": 4},
            {"path": "network.1", "insert": {"kind": "flatten"}},
            {"path": "x", "remove": True},
        ],
    }


def test_settings_are_found_in_blocks_and_wrappers_but_not_in_muted_layers():
    found = experiment(
        dense(8, "lecun_normal"),
        {**dense(8), "muted": True},
        {"kind": "residual", "body": [{"kind": "weight_norm", "layer": dense(8, "he_normal")}]},
        dense(10),
    )
    settings = dict(settings_named(found, "init"))
    assert sorted(settings) == ["network.0.init", "network.2.body.0.layer.init", "network.3.init"]
    assert settings["network.2.body.0.layer.init"]["kind"] == "he_normal"
