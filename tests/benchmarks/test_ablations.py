import json

import pytest
from click.testing import CliRunner


@pytest.fixture
def benchmark(load_benchmark):
    return load_benchmark("ablations")


@pytest.mark.slow
def test_variants_stand_beside_the_baseline_with_mean_and_deviation(benchmark, emoji, tmp_path):
    variants = ["baseline", "tail=smooth norm_floor=1"]
    options = ["--steps", "1", "--seeds", "2", "--quick", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path)]
    command = [str(emoji), *options, *(word for name in variants for word in ("--variant", name))]
    for _ in range(2):  # what is trained already is only measured again
        done = CliRunner().invoke(benchmark.main, command, catch_exceptions=False)
        assert done.exit_code == 0
    told = json.loads((tmp_path / "ablations-quick.json").read_text())
    assert [(row["variant"], row["seed"]) for row in told["rows"]] == [(name, n) for n in (0, 1) for name in variants]
    assert {key for row in told["rows"] for key in row["values"]} == {key for _, key, _ in benchmark.COLUMNS}
    lines = (tmp_path / "ablations-quick.md").read_text().splitlines()
    assert lines[-2].startswith("| baseline | 2 |")
    assert lines[-1].startswith("| `tail=smooth norm_floor=1` | 2 |")
    assert lines[-1].count(" ± ") == len(benchmark.COLUMNS)


def test_the_mean_of_both_directions_is_taken(benchmark):
    found = {"psnr_AtoB": 20.0, "psnr_BtoA": 22.0, "cycle_psnr_A": 30.0, "cycle_psnr_B": 34.0, "identity_psnr_A": 9.0}
    assert benchmark.averaged(found) == {"psnr": 21.0, "cycle_psnr": 32.0}


def test_every_variant_is_a_configuration_whose_rate_falls_over_the_second_half(benchmark, emoji):
    for variant in benchmark.VARIANTS:
        config = benchmark.configure(variant, 1, emoji, 1000, quick=False)
        assert (config.run.seed, config.run.max_steps) == (1, 1000)
        assert config.schedule.n_epochs == pytest.approx(config.schedule.n_epochs_decay, abs=1)
