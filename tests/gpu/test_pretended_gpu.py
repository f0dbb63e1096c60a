"""The pretended GPU itself: what it must catch is planted, and it must count what happened."""

import pytest

FAULTS = {
    "generator_of_the_cpu": "Expected a 'cuda' device type for generator",
    "sum_over_devices": "Expected all tensors to be on the same device",
    "weights_left_on_the_cpu": "Expected all tensors to be on the same device",
    "type_without_a_kernel": "Low precision dtypes not supported",
    "device_without_an_index": "Expected a torch.device with a specified index",
    "device_that_is_not_there": "the pretended GPU refuses this",
    "loss_that_is_read": "called a synchronizing CUDA operation",
    "copy_that_waits": "called a synchronizing CUDA operation",
    "result_kept_over_a_replay": "has been overwritten by a subsequent run",
    "copy_in_a_capture": "during CUDA graph capture",
    "wait_in_a_capture": "the pretended GPU refuses this",
}


@pytest.fixture(scope="module")
def caught(pretended):
    return {report["fault"]: report["caught"] for report in pretended("faults").reports}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_is_planted_is_caught(caught, fault):
    assert FAULTS[fault] in (caught[fault] or "")


def test_it_counts_what_happens(pretended):
    ended = pretended("counting")
    assert ended.code == 0, ended.err
    counts = {facts.pop("what"): {name: count for name, count in facts.items() if count} for facts in ended.reports}
    assert counts == {
        "kernel": {"launches": 1},
        "read": {"to_host": 1, "pageable": 1, "synchronisations": 1},
        "copy": {"to_device": 1, "pageable": 1, "synchronisations": 1},
        "copy ahead": {"to_device": 1},
        "capture": {"captures": 1, "captured": 2, "synchronisations": counts["capture"]["synchronisations"]},
        "replay": {"graph_launches": 1},
    }
