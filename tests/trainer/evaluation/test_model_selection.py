import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.runtime.errors import ConfigError
from cyclegan_edge.trainer.config import resolve_config
from cyclegan_edge.trainer.evaluation.model_selection import (
    HIGHER_IS_BETTER,
    Selection,
    base_name,
    choose_metric,
    value_of,
)


def test_a_bare_name_is_the_mean_of_both_directions():
    values = {"ssim_AtoB": 0.4, "ssim_BtoA": 0.8, "psnr_AtoB": 20.0, "cycle_psnr_A": 30.0, "cycle_l1": 0.1}
    assert value_of("ssim", values) == pytest.approx(0.6)
    assert value_of("ssim_BtoA", values) == 0.8
    assert value_of("psnr", values) == 20.0
    assert value_of("cycle_l1", values) == 0.1
    assert value_of("fid", values) is None


@given(st.lists(st.floats(-100, 100), min_size=1), st.sampled_from(["ssim", "swd"]))
def test_the_best_so_far_is_the_best_of_all_and_ties_do_not_count(seen, metric):
    selection = Selection(metric, patience=0)
    found = [selection.update({metric: value}) for value in seen]
    assert selection.best == (max if metric == "ssim" else min)(seen)
    assert found[0]
    assert found.count(True) <= len(set(seen))
    assert not selection.exhausted


def test_what_is_no_number_is_never_the_best():
    selection = Selection("ssim", patience=2)
    assert not selection.update({"ssim": float("nan")})
    assert selection.best is None
    assert selection.update({"ssim": 0.2})
    assert not selection.update({"ssim": float("nan")})
    assert (selection.best, selection.stale) == (0.2, 1)


def test_patience_runs_out_and_a_better_value_restores_it():
    selection = Selection("swd", patience=2)
    outcomes = []
    for value in (5, 6, 4, 4, 4):
        selection.update({"swd": value})
        outcomes.append(selection.exhausted)
    assert outcomes == [False, False, False, False, True]


def test_a_selection_goes_on_where_it_stood():
    first, second = Selection("swd", 2), Selection("swd", 2)
    first.update({"swd": 3.0})
    first.update({"swd": 4.0})
    second.load_state_dict(first.state_dict())
    assert second == first
    third = Selection("ssim", 2)
    third.load_state_dict(first.state_dict())  # whose values are not to be compared
    assert third == Selection("ssim", 2)


@pytest.mark.parametrize(("paired", "expected"), [(True, "ssim"), (False, "swd")])
def test_auto_takes_the_truth_where_it_is_known(paired, expected):
    assert choose_metric("auto", paired=paired, features=False) == expected


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ConfigError, match="psnr_AtoB needs pictures of the same names"):
        choose_metric("psnr_AtoB", paired=False, features=True)
    with pytest.raises(ConfigError, match="kid needs a feature extractor"):
        choose_metric("kid", paired=True, features=False)


def test_the_configuration_takes_every_metric_and_no_other():
    for metric in HIGHER_IS_BETTER:
        assert resolve_config({"validation": {"metric": metric}}).validation.metric == metric
    with pytest.raises(ConfigError, match=r"validation\.metric"):
        resolve_config({"validation": {"metric": "lpips"}})
    assert base_name("cycle_psnr_A") == "cycle_psnr"
