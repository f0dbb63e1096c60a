import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan_edge.trainer.data import duplicates
from cyclegan_edge.trainer.data.duplicates import MOST_LEVELS, Fingerprints, Thumbnail


def nearest_by_all_pairs(prints, places, folders):
    """The same by comparing every pair."""
    values, ranges = prints._values(places).astype(float), prints._ranges[places]
    found = {}
    for second in range(len(places)):
        for first in range(second):
            levels = np.sqrt(np.square(values[first] - values[second]).mean())
            if levels <= MOST_LEVELS[0] * max(ranges[first], ranges[second]) / 255:
                key = (int(folders[first]), int(places[second]))
                if levels < found.get(key, (np.inf,))[0] - 1e-3:
                    found[key] = levels, int(places[first])
    return {key: first for key, (_, first) in found.items()}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 60), st.sampled_from([1.0, 4.0, 9.0]), st.sampled_from([0.05, 0.3, 1.0]))
def test_no_near_pair_is_missed(seed, number, noise, contrast):
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 256, (6, 16, 16, 3))
    prints, folders = Fingerprints(2 * number), np.sort(rng.integers(0, 4, number)).astype(np.int8)
    places = np.sort(rng.choice(2 * number, number, replace=False)).astype(np.int64)
    for place in places:
        values = bases[rng.integers(6)] + noise * rng.normal(size=(16, 16, 3)) * rng.integers(0, 3)
        prints.put(int(place), Thumbnail.of((values.clip(0, 255) * contrast).astype(np.float32)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BLOCK", (7, 11))  # so that blocks end everywhere
        pairs = list(prints.near_pairs(places, folders))
    folder_of = dict(zip(places.tolist(), folders.tolist(), strict=True))
    found = {(folder_of[first], second): first for first, second in pairs}
    expected = nearest_by_all_pairs(prints, places, folders)
    assert len(found) == len(pairs)
    assert found.keys() == expected.keys()
    values = prints._values(np.arange(2 * number)).astype(float)
    for key, first in found.items():  # ties may go either way
        levels = [np.sqrt(np.square(values[one] - values[key[1]]).mean()) for one in (first, expected[key])]
        assert levels[0] == pytest.approx(levels[1], abs=0.2)


def test_what_is_far_apart_is_not_compared(monkeypatch):
    rng = np.random.default_rng(0)
    prints = Fingerprints(600)
    for place in range(600):
        coarse = rng.integers(0, 256, (2, 2, 3)).astype(np.float32)
        prints.put(place, Thumbnail.of(np.kron(coarse, np.ones((8, 8, 1), np.float32))))
    compared = []
    real = duplicates._squared
    monkeypatch.setattr(
        duplicates, "_squared", lambda one, other: compared.append(len(one) * len(other)) or real(one, other)
    )
    assert list(prints.near_pairs(np.arange(600), np.zeros(600, np.int8))) == []
    assert sum(compared) < 0.02 * 600**2 / 2


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_few_pictures_are_no_trouble(number):
    prints = Fingerprints(5)
    for place in range(number):
        prints.put(place, Thumbnail.of(np.full((64, 64, 3), 100, np.float32)))
    pairs = list(prints.near_pairs(np.arange(number), np.zeros(number, np.int8)))
    assert [second for _, second in pairs] == list(range(1, number))
