"""What is moved between host and GPU, and in how many pieces."""


def test_a_batch_passes_the_history_in_few_kernels_and_a_state_comes_over_in_few_copies(pretended):
    ended = pretended("moves")
    assert ended.code == 0, ended.err
    history, state = ended.told
    assert history["launches"] <= 8
    assert history["synchronisations"] == history["to_host"] == 0
    assert (state["to_host"], state["pageable"]) == (1, 0)
