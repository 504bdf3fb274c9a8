"""Who has a connection, and what becomes of one whose owner is dropped."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from holdfast.values import forks
from holdfast.values._connections import Connections
from tests.waiting import until


class Connection:
    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


class Owner:
    pass


@pytest.fixture
def held():
    """Connections with one of an owner's: those, it, and the list with the owner."""
    connections, connection, owners = Connections(), Connection(), [Owner()]
    connections.hold(connection, owners[0], Path("some.db"), connection.close)
    return connections, connection, owners


def test_whoever_is_dropped_has_its_connection_closed(held):
    """And is no owner any more."""
    connections, connection, owners = held
    assert owners == connections.owners()
    owners.clear()

    assert (1, []) == (connection.closed, connections.owners())


def test_what_was_let_go_is_left_alone(held):
    """Its owner closes it itself."""
    connections, connection, owners = held
    connections.let_go(connection)
    owners.clear()

    assert (0, []) == (connection.closed, connections.owners())


def test_a_fork_closes_what_another_thread_is_about_to_close(held):
    """Once: the thread waits while the fork holds the door, and finds nothing left to do."""
    connections, connection, owners = held
    thread = threading.Thread(target=owners.clear)
    with forks.door:
        thread.start()
        until(lambda: not connections.owners())
        waits = thread.is_alive()
        found = connection.closed
        connections.before_fork()
        seen = connection.closed
    thread.join(60)

    assert (True, 0, 1, 1) == (waits, found, seen, connection.closed)


def test_a_fork_leaves_a_connection_in_use(held):
    """Its owner closes it, or does not."""
    connections, connection, owners = held
    connections.before_fork()

    assert (0, owners) == (connection.closed, connections.owners())


def test_a_child_never_closes_what_came_along(held):
    """Its file is not to be used any more; dropping the owner does nothing."""
    connections, connection, owners = held
    connections.after_fork_in_child()
    owners.clear()

    assert (0, {Path("some.db")}, []) == (connection.closed, connections.abandoned, connections.owners())
