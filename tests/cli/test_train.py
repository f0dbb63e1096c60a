import os
import tomllib

import pytest

from cyclegan_edge.trainer.checkpoints.checkpoint import load_checkpoint
from cyclegan_edge.trainer.methods.cyclegan import CycleGAN

TINY = ["networks.generator=resnet_1blocks", "networks.ngf=4", "networks.ndf=4", "run.log_every=2"]
TINY = [word for setting in TINY for word in ("--set", setting)]


@pytest.fixture
def train(cyclegan, emoji, tmp_path):
    def run(*options) -> int:
        return cyclegan("train", emoji, "--runs", tmp_path, "--name", "t", "--device", "cpu", *options)

    return run


@pytest.mark.slow
def test_train_then_resume(train, tmp_path, capsys):
    assert train("--max-steps", 2, "--size", 32, *TINY) == 0
    assert train("--max-steps", 4, "--resume") == 0
    content = load_checkpoint(tmp_path / "t" / "checkpoints" / "latest.pt")
    assert content["progress"].items() >= {"step": 4, "epoch": 1}.items()
    assert content["config"]["data"]["crop_size"] == 32
    assert content["config"]["data"]["load_size"] == 36
    captured = capsys.readouterr()
    assert captured.out == ""
    assert train("--max-steps", 4, *TINY) == 5
    assert "already holds a run; resume it" in capsys.readouterr().err
    assert train("--resume", "--set", "networks.ngf=8") == 2
    assert "started with networks.ngf=4, so it cannot go on with 8" in capsys.readouterr().err


def test_options_lie_over_the_file_and_the_file_over_the_recipe(train, tmp_path, capsys):
    file = tmp_path / "mine.toml"
    file.write_text("[networks]\nngf = 8\nnorm_floor = 2\nndf = 8\n")
    tiny = ["--config", file, "--set", "networks.ngf=4", "--set", "networks.ndf=4", "--size", 32]
    assert train("--recipe", "edge", "--max-steps", 1, *tiny) == 0
    networks = tomllib.loads((tmp_path / "t" / "config.toml").read_text())["networks"]
    edge = {"generator": "edge_resnet_6blocks", "tail": "smooth", "norm_floor": 2.0, "ngf": 4, "ndf": 4}
    assert networks.items() >= edge.items()
    assert train("--recipe", "edge", "--resume") == 2
    assert "its own settings; leave the recipe out; see --recipe\n" in capsys.readouterr().err
    assert train("--max-steps", 2, "--resume") == 0
    content = load_checkpoint(tmp_path / "t" / "checkpoints" / "latest.pt")
    assert (content["progress"]["step"], content["config"]["networks"]) == (2, networks)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--recipe", "egde"], 2, "'egde' is not one of 'edge', 'official'"),
        (["--recipe", "edge", "--set", "networks.generator=resnet_9blocks"], 2, "set networks.tail=tiles\n"),
        (["--set", "networks.nfg=3"], 2, "did you mean networks.ngf?"),
        (["--set", "ngf"], 2, "a setting is written PART.KEY=VALUE"),
        (["--config", "absent.toml"], 2, "cannot read the configuration absent.toml"),
        (
            ["--size", "30"],
            2,
            "data.crop_size=30 is no multiple of 4, which resnet_9blocks needs; use 32; see --size\n",
        ),
        (["--set", "data.crop_size=30"], 2, "which resnet_9blocks needs; use 32\n"),
        (["--epochs", "-5"], 2, "should be greater than or equal to 0 (got -5); see --epochs\n"),
        (["--precision", "int8"], 2, "'int8' is not one of"),
        (["--device", "cuda:63"], 2, "there is no device cuda:63 here"),
        (["--resume"], 4, "there is no checkpoint"),
    ],
)
def test_a_wrong_option_ends_in_one_sentence_and_writes_nothing(train, tmp_path, capsys, options, code, message):
    assert train(*options) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_a_missing_dataset_shows_the_layout(cyclegan, tmp_path, capsys):
    assert cyclegan("train", tmp_path / "none", "--runs", tmp_path / "runs") == 3
    errors = capsys.readouterr().err
    assert "there is no folder" in errors
    assert "trainB/" in errors
    assert not (tmp_path / "runs").exists()


def test_a_place_that_cannot_be_written_is_named(cyclegan, emoji, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code = cyclegan("train", emoji, "--runs", tmp_path / "file", "--max-steps", 1, "--size", 32, *TINY)
    assert code == 5
    assert f"cannot write {tmp_path / 'file'}{os.sep}" in capsys.readouterr().err


@pytest.mark.slow
def test_weights_go_out_to_the_official_format_and_start_another_run(cyclegan, train, tmp_path, capsys):
    official = tmp_path / "checkpoints" / "emoji"
    six = [word.replace("resnet_1blocks", "resnet_6blocks") for word in TINY]
    assert train("--max-steps", 1, "--size", 32, *six) == 0
    assert cyclegan("export-weights", tmp_path / "t", "--output", official) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(official / "latest_net_G_A.pth")
    assert train("--max-steps", 1, "--size", 32, "--name", "u", "--init-from", official) == 0
    config = load_checkpoint(tmp_path / "u" / "checkpoints" / "latest.pt")["config"]
    assert (config["networks"]["generator"], config["networks"]["ngf"]) == ("resnet_6blocks", 4)
    assert train("--name", "v", "--init-from", official, "--set", "networks.ngf=8") == 2
    assert "so it cannot start a run with 8" in capsys.readouterr().err
    assert train("--resume", "--init-from", official) == 2
    assert train("--name", "v", "--init-from", tmp_path / "absent") == 4
    assert not (tmp_path / "v").exists()


@pytest.mark.slow
def test_the_words_at_the_end_are_true(train, tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO")
    assert train("--max-steps", 2, "--size", 32, *TINY) == 0
    assert f"done: step 2; the run is in {tmp_path / 't'}" in caplog.text
    caplog.clear()
    assert train("--resume") == 0
    assert "nothing to do: step 2 of 2; more with --epochs, --epochs-decay or --max-steps" in caplog.text
    assert "done" not in caplog.text
    caplog.clear()
    assert train("--resume", "latest", "--max-steps", 4, "--set", "optim.lr=0.001") == 0
    assert "run.max_steps changes from 2 to 4" in caplog.text
    assert "optim.lr changes from 0.0002 to 0.001" in caplog.text
    assert train("--resume", "epoch-0007") == 4


def test_a_run_of_which_every_update_was_skipped_is_no_success(train, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(CycleGAN, "take_skips", lambda self: [(True, True)])
    assert train("--max-steps", 2, "--size", 32, *TINY, "--set", "run.log_every=1") == 1
    assert "not one update of the generators and discriminators counted in 2 steps" in capsys.readouterr().err
