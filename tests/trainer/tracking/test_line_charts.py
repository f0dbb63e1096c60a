import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.trainer.tracking.line_charts import HEIGHT, MOST_POINTS, WIDTH, make_chart, thinned, ticks


def places(line):
    return [tuple(map(float, place.split(","))) for place in line.points.split()]


def test_a_line_goes_from_corner_to_corner():
    chart = make_chart("loss", {"G_A": [(0, 1.0), (10, 3.0)], "empty": []})
    assert places(chart.lines[0]) == [(0, HEIGHT), (WIDTH, 0)]
    assert [line.name for line in chart.lines] == ["G_A"]
    assert chart.lines[0].last == "3"
    assert (0, "0") in chart.x_ticks
    assert (HEIGHT / 2, "2") in chart.y_ticks


def test_a_single_point_is_drawn_as_a_dot_in_the_middle():
    assert places(make_chart("loss", {"G_A": [(7, 2.0)]}).lines[0]) == [(WIDTH / 2, HEIGHT / 2)] * 2


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_round_and_within(low, width):
    found = ticks(low, low + width)
    assert len(found) <= 8
    assert all(low - 1e-6 <= tick <= low + width + 1e-6 for tick in found)


@given(st.integers(1, 2000))
def test_long_series_are_averaged_and_keep_their_mean(length):
    points = [(float(number), float(number % 7)) for number in range(length)]
    thin = thinned(points)
    assert len(thin) <= MOST_POINTS
    if length <= MOST_POINTS:
        assert thin == points
    elif length % -(-length // MOST_POINTS) == 0:
        assert sum(y for _, y in thin) / len(thin) == pytest.approx(sum(y for _, y in points) / length)
