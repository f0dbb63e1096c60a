import torch
from hypothesis import given
from hypothesis import strategies as st

from cyclegan_edge.trainer.methods.image_pool import ImagePool


def picture(value: float) -> torch.Tensor:
    return torch.full((1, 1, 1, 1), value)


def make_pool(size: int) -> ImagePool:
    return ImagePool(size, torch.Generator().manual_seed(1))


def test_size_zero_passes_everything_through():
    fakes = torch.randn(4, 1, 2, 2)
    assert make_pool(0).query(fakes) is fakes


def test_a_pool_that_fills_gives_the_new_pictures_back():
    pool = make_pool(3)
    for value in range(3):
        assert pool.query(picture(value)).item() == value
    assert len(pool) == 3


def test_a_full_pool_exchanges_half_of_the_pictures():
    pool = make_pool(50)
    pool.query(torch.zeros(50, 1, 1, 1))
    returned = [pool.query(picture(1 + number)).item() for number in range(2000)]
    new = sum(value == 1 + number for number, value in enumerate(returned))
    assert 900 < new < 1100


def test_every_picture_of_a_batch_is_decided_alone():
    pool = make_pool(10)
    pool.query(torch.zeros(10, 1, 1, 1))
    returned = pool.query(torch.ones(64, 1, 1, 1)).flatten()
    assert 0 < returned.sum() < 64


@given(st.integers(1, 8), st.lists(st.integers(1, 5), min_size=1, max_size=30))
def test_query_never_invents_nor_loses_a_picture(size, batches):
    pool = make_pool(size)
    given_in, returned, number = [], [], 0
    for batch in batches:
        fakes = torch.arange(number, number + batch).float().view(-1, 1, 1, 1)
        number += batch
        given_in += fakes.flatten().tolist()
        returned += pool.query(fakes).flatten().tolist()
    assert len(returned) == len(given_in)
    assert set(returned) <= set(given_in)
    assert len(pool) == min(size, number)


def test_sample_draws_from_the_history_alone_and_store_fills_it():
    pool = make_pool(2)
    pool.store(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
    drawn = {pool.sample(1).item() for _ in range(50)}
    assert drawn == {1.0, 2.0}
    pool.store(picture(3))
    assert len(pool) == 2
    assert 3.0 in {pool.sample(1).item() for _ in range(50)}


def test_stored_pictures_do_not_change_with_the_batch_they_came_from():
    pool = make_pool(1)
    fakes = torch.zeros(1, 1, 1, 1)
    pool.query(fakes)
    fakes.fill_(5)
    assert pool.sample(1).item() == 0


def test_a_restored_pool_goes_on_the_same_way():
    first, second = make_pool(4), ImagePool(4, torch.Generator().manual_seed(99))
    for value in range(9):
        first.query(picture(value))
    second.load_state_dict(first.state_dict(), torch.device("cpu"))
    for value in range(10, 40):
        assert torch.equal(first.query(picture(value)), second.query(picture(value)))


class PictureByPicture:
    """The history as the official code has it: a list, and one picture after the other."""

    def __init__(self, size, generator):
        self.size, self.generator, self.images = size, generator, []

    def draw(self, count):
        return int(torch.randint(count, (), generator=self.generator))

    def query(self, fakes):
        return [self.exchange(fake) for fake in fakes]

    def exchange(self, fake):
        if len(self.images) < self.size:
            self.images.append(fake)
            return fake
        if self.draw(2) == 0:
            return fake
        place = self.draw(self.size)
        stored, self.images[place] = self.images[place], fake
        return stored

    def store(self, fakes):
        for fake in fakes[: self.size]:
            if len(self.images) < self.size:
                self.images.append(fake)
            else:
                self.images[self.draw(self.size)] = fake


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from(["query", "store", "restore"]), st.integers(1, 9)), min_size=1, max_size=20),
    st.booleans(),
)
def test_a_batch_is_exchanged_as_if_picture_by_picture(size, calls, sizes_differ):
    """Sizes of pictures may differ from batch to batch of one picture."""
    pool, reference = make_pool(size), PictureByPicture(size, torch.Generator().manual_seed(1))
    number = 0
    for call, batch in calls:
        if call == "restore":
            restored = make_pool(size)
            restored.load_state_dict(pool.state_dict(), torch.device("cpu"))
            pool = restored
            continue
        batch, width = (1, 1 + number % 2) if sizes_differ else (batch, 1)
        fakes = torch.arange(number, number + batch).float().view(-1, 1, 1, 1).expand(-1, 1, 1, width)
        number += batch
        results = [getattr(one, call)(fakes) for one in (pool, reference)]
        assert len(pool) == len(reference.images)
        assert all(torch.equal(*pair) for pair in zip(pool.state_dict()["images"], reference.images, strict=True))
        if call == "query":
            assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def test_the_history_of_a_checkpoint_that_kept_a_list_goes_on():
    pool = make_pool(3)
    state = {
        "images": [torch.full((1, 2, 2), float(value)) for value in range(2)],
        "rng": torch.Generator().get_state(),
    }
    pool.load_state_dict(state, torch.device("cpu"))
    pool.query(torch.full((1, 1, 2, 2), 9.0))
    assert [image.mean().item() for image in pool.state_dict()["images"]] == [0, 1, 9]
