"""What the commands that run artefacts say of a value out of bounds; `tests/project/test_bounds.py` holds the rule."""

import pytest

from cyclegan_edge.cli import main

LONG = "n" * 300
TRANSLATE = ["translate", "-m", "m.onnx", "-i", "a.png", "-o", "b.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["translate", "-m", LONG, "-i", "a.png", "-o", "b.png"], "is too long"),
        (["translate", "-m", "m.onnx", "-i", LONG, "-o", "b.png"], "is too long"),
        (["translate", "-m", "m.onnx", "-i", "a.png", "-o", LONG], "is too long"),
        (["translate", "-m", "m.onnx", "-i", "a.png", "-o", "a/" * 3000], "is too long"),
        (["translate", "-m", "m.onnx", "-i", "", "-o", "b.png"], "an empty text names nothing"),
        ([*TRANSLATE, "--batch-size", "1000000000"], "not in the range 1<=x<=256"),
        ([*TRANSLATE, "--tile", "100000000"], "not in the range 8<=x<=8192"),
        ([*TRANSLATE, "--scale", "nan"], "nan is no number"),
        ([*TRANSLATE, "--scale", "1e9"], "not in the range 0<=x<=1"),
        ([*TRANSLATE, "--size", "100000"], "100000 is too large"),
        ([*TRANSLATE, "--skip-similar", "inf"], "not in the range 0<=x<=1000"),
        (["bench", LONG], "is too long"),
        (["bench", "m.onnx", "--batch-size", "100000000"], "not in the range 1<=x<=256"),
        (["bench", "m.onnx", "--seconds", "inf"], "not in the range 0<=x<=3600"),
        (["serve", "-m", LONG], "is too long"),
        (["serve", "-m", "m.onnx", "-i", LONG], "is too long"),
        (["serve", "--static", LONG], "is too long"),
    ],
)
def test_what_is_out_of_bounds_is_a_usage_error_that_names_the_bound(arguments, message, capsys):
    with pytest.raises(SystemExit) as ending:
        main(arguments)
    assert ending.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_address_may_be_longer_than_a_file_name(capsys):
    with pytest.raises(SystemExit) as ending:
        main(["translate", "-m", "m.onnx", "-i", f"http://127.0.0.1:1/{LONG}.mp4", "-o", "null"])
    assert ending.value.code in (3, 4)
