"""The queue between threads that shows what is on its way."""

from __future__ import annotations

import queue
import threading

import pytest

from holdfast.runtime.inbox import Inbox


def test_items_come_in_the_order_they_were_put() -> None:
    """First in, first out."""
    inbox: Inbox[int] = Inbox()
    for n in range(3):
        inbox.put(n)

    assert [0, 1, 2] == [inbox.take() for _ in range(3)]


def test_nothing_in_time_is_empty() -> None:
    """As with any queue, and the inbox goes on working."""
    inbox: Inbox[int] = Inbox()

    with pytest.raises(queue.Empty):
        inbox.take(0.001)

    inbox.put(1)
    assert 1 == inbox.take(0.001)


def test_an_item_is_in_sight_until_it_is_taken() -> None:
    """That is what sets it apart from a `queue.SimpleQueue`."""
    inbox: Inbox[int] = Inbox()
    seen = [inbox.has_items()]
    inbox.put(1)
    seen.append(inbox.has_items())
    inbox.take()
    seen.append(inbox.has_items())

    assert [False, True, False] == seen


def test_many_readers_get_each_item_once() -> None:
    """Whoever puts and whoever takes, in any number of threads."""
    inbox: Inbox[int] = Inbox()
    got: list[int] = []
    readers = [threading.Thread(target=lambda: got.extend(inbox.take() for _ in range(500))) for _ in range(4)]
    writers = [threading.Thread(target=lambda n=n: [inbox.put(n * 1000 + i) for i in range(1000)]) for n in range(2)]  # type: ignore[misc]
    for thread in readers + writers:
        thread.start()
    for thread in readers + writers:
        thread.join(30)

    assert sorted([*range(1000), *range(1000, 2000)]) == sorted(got)
    assert not inbox.has_items()
