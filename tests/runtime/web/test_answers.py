"""Answers go piece by piece, and the slowest reader is given up where all take too much memory."""

import asyncio

import pytest

from cyclegan_edge.runtime.web.answers import PIECE, Answers, PictureAnswer, UnreadError
from cyclegan_edge.runtime.web.budget import Budget
from cyclegan_edge.runtime.web.limits import Limits


async def send_to(reader, answers: Answers, size: int) -> None:
    await PictureAnswer(b"x" * size, "image/png", {}, answers)({"type": "http"}, None, reader)


def test_an_answer_is_sent_in_pieces_and_whole() -> None:
    answers, sent = Answers(Limits()), []

    async def quick(message) -> None:
        assert len(message.get("body", b"")) <= PIECE
        sent.append(message)

    asyncio.run(send_to(quick, answers, 2 * PIECE + 5))
    assert sum(len(message.get("body", b"")) for message in sent) == 2 * PIECE + 5
    assert dict(sent[0]["headers"])[b"content-length"] == str(2 * PIECE + 5).encode()
    assert [message.get("more_body") for message in sent] == [None, True, True, True, False]
    assert answers.in_memory == 0


def test_the_slowest_reader_is_cut_off_and_a_quick_one_is_served() -> None:
    async def everybody() -> list[object]:
        answers = Answers(Limits(answer_memory=3 * PIECE, send_seconds=30))

        async def stuck(message) -> None:
            await asyncio.sleep(0 if message["type"] == "http.response.start" else 60)

        async def quick(message) -> None:
            await asyncio.sleep(0.01)

        slow = [asyncio.create_task(send_to(stuck, answers, 2 * PIECE))]
        await asyncio.sleep(1.1)
        slow.append(asyncio.create_task(send_to(quick, answers, 2 * PIECE)))
        return [*await asyncio.gather(*slow, return_exceptions=True), answers.in_memory]

    first, second, left = asyncio.run(everybody())
    assert isinstance(first, UnreadError)
    assert (second, left) == (None, 0)


def test_an_answer_larger_than_the_budget_is_sent_alone() -> None:
    async def quick(message) -> None:
        await asyncio.sleep(0)

    asyncio.run(send_to(quick, Answers(Limits(answer_memory=1)), 3 * PIECE))


@pytest.mark.parametrize("pause", [0.0, 0.2])
def test_a_reader_below_the_least_rate_is_cut_off(pause: float) -> None:
    async def slow(message) -> None:
        await asyncio.sleep(pause)

    limits = Limits(send_seconds=1, send_rate=8 * PIECE)  # a piece must leave in an eighth of a second
    run = send_to(slow, Answers(limits), 20 * PIECE)
    if pause:
        with pytest.raises(UnreadError):
            asyncio.run(run)
    else:
        asyncio.run(run)


def test_a_budget_serves_in_turn_and_lets_one_that_is_too_large_through_alone() -> None:
    async def turns() -> list[str]:
        budget, order = Budget(10), []

        async def work(name: str, amount: int) -> None:
            held = await budget.acquire(amount)
            order.append(name)
            await asyncio.sleep(0.02)
            budget.release(held)

        await asyncio.gather(work("a", 6), work("large", 99), work("b", 3), work("c", 3))
        assert budget.free == 10
        return order

    assert asyncio.run(turns()) == ["a", "large", "b", "c"]


def test_one_who_stops_waiting_for_a_budget_leaves_nothing_held() -> None:
    async def leave() -> int:
        budget = Budget(10)
        held = await budget.acquire(8)
        first, second = (asyncio.create_task(budget.acquire(amount)) for amount in (5, 2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0.01)
        assert second.done()  # nobody stands before it any more
        budget.release(held)
        budget.release(second.result())
        third = asyncio.create_task(budget.acquire(10))
        await asyncio.sleep(0)
        assert third.done()
        budget.release(10)
        waiting = [asyncio.create_task(budget.acquire(10)) for _ in range(2)]
        await asyncio.sleep(0)
        budget.release(10)  # the turn of the second comes, and it leaves in the same moment
        waiting[1].cancel()
        await asyncio.sleep(0.01)
        return budget.free

    assert asyncio.run(leave()) == 10
