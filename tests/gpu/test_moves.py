"""What is moved between host and GPU, in how many pieces, and on which stream."""


def test_a_batch_passes_the_history_in_few_kernels_and_a_state_comes_over_in_few_copies(pretended):
    ended = pretended("moves")
    assert ended.code == 0, ended.err
    history, state = ended.reports
    assert history["launches"] <= 8
    assert history["synchronisations"] == history["to_host"] == 0
    assert (state["to_host"], state["pageable"]) == (1, 0)


def test_pictures_of_the_disk_are_copied_ahead_beside_the_step(pretended, pictures):
    ended = pretended("batches", pictures, PRETENDED_FREE="1000")
    assert ended.code == 0, ended.err
    (counts,) = ended.reports
    assert counts["to_device"] == counts["aside"] >= 2 * counts["steps"]
    assert counts["pageable"] == counts["synchronisations"] == counts["to_host"] == 0
    assert counts["stream_waits"] == counts["steps"]  # the step alone waits, for the event of its batch


def test_pictures_in_the_memory_of_the_gpu_are_not_copied_again(pretended, pictures):
    ended = pretended("batches", pictures)
    assert ended.code == 0, ended.err
    (counts,) = ended.reports
    assert counts["to_device"] == counts["stream_waits"] == counts["synchronisations"] == 0
