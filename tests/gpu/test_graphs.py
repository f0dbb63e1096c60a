"""A compiled step on a GPU: CUDA graphs, and next to nothing beside them."""

import pytest

COMPILED = {
    "bf16": {},
    "fp16": {"precision": "fp16"},
    "wgangp": {"options": {"losses": {"gan_mode": "wgangp"}}},
    "temporal": {"options": {"losses": {"lambda_temporal": 10}}},
    "accumulate": {"batch": 4, "options": {"optim": {"accumulate": 2}}},
    "discriminators first": {"options": {"optim": {"update_order": "discriminators_first"}}},
    "diffaugment": {"options": {"optim": {"diffaugment": True}}},
    "checkpoint activations": {"options": {"optim": {"checkpoint_activations": True}}},
}


@pytest.fixture(scope="module")
def compiled(pretended):
    cases = {name: {"warm_up": 3, "compiled": True, "blocks": 2} | case for name, case in COMPILED.items()}
    ended = pretended("steps", stdin=cases, seconds=280)
    assert ended.code == 0, ended.err
    return {counts.pop("name"): counts for counts in ended.reports}


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_step_is_graphs_and_waits_for_nothing(compiled, name):
    counted = compiled[name]
    assert "error" not in counted
    assert counted["synchronisations"] == counted["to_host"] == counted["captures"] == 0
    assert 2 <= counted["graph_launches"] <= 12
    assert counted["launches"] < 200


def test_updates_are_graphs_too(compiled):
    """Four graphs make the gradients, two the updates; the rest is the history, and what is copied into graphs."""
    assert compiled["bf16"]["graph_launches"] == 6
    assert compiled["bf16"]["launches"] <= 20
    assert compiled["fp16"]["graph_launches"] == 4  # its loss scaler decides on the host
