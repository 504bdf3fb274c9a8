"""What is done around a fork."""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref

import pytest

from holdfast.values import forks
from tests.children import in_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


class Diary:
    def __init__(self, before=lambda: None):
        self.pages = []
        self.before = before

    def before_fork(self):
        self.pages.append("before")
        self.before()

    def after_fork_in_parent(self):
        self.pages.append("parent")

    def after_fork_in_child(self):
        self.pages.append("child")


def test_parent_and_child_each_get_their_own_call():
    """Before the fork once, and afterwards in each process what is meant for it."""
    diary = Diary()
    forks.protect(diary)

    assert 0 == in_child(lambda: diary.pages == ["before", "child"])
    assert ["before", "parent"] == diary.pages


def test_nothing_is_kept_alive():
    """What nobody holds any more is forgotten, and a fork does not miss it."""
    diary = Diary()
    forks.protect(diary)
    seen = weakref.ref(diary)
    del diary
    gc.collect()

    assert seen() is None


def child_ends(check=lambda: True):
    """Fork; whether the child finds that ``check`` holds."""
    return in_child(check) == 0


def test_files_are_told_last():
    """Whoever has work under way that needs them can finish it."""
    order = []
    things = [Diary(lambda: order.append("file")), Diary(lambda: order.append("user"))]
    for thing in things:
        forks.protect(thing, is_file=thing is things[0])

    assert child_ends()
    assert ["user", "file"] == order


def test_what_a_fork_alone_holds_is_dropped_when_all_have_begun_anew():
    """Its end may need a lock that another one held for the fork."""
    owners, pages = [Diary()], []
    forks.protect(owners[0])
    file = Diary(owners.clear)  # the last who knows it but the fork
    forks.protect(file, is_file=True)
    weakref.finalize(owners[0], lambda: pages.extend(file.pages))

    assert child_ends(lambda: pages == ["before", "child"])
    assert ["before", "parent"] == pages


def test_whoever_waits_for_a_thread_that_makes_something_does_not_wait_for_long():
    """It can be made, and is told, too."""
    made = Diary()
    thread = threading.Thread(target=forks.protect, args=[made])
    waiting = Diary(lambda: (thread.start(), thread.join()))
    forks.protect(waiting)

    assert child_ends(lambda: made.pages == ["before", "child"])
    assert ["before", "parent"] == made.pages


def test_nothing_is_made_behind_a_forks_back():
    """Whoever could open a file comes through the door: it waits until the fork is over, in which it has no part."""
    made, seen = Diary(), []

    def come():
        with forks.door:
            forks.protect(made)

    thread = threading.Thread(target=come)

    def make():
        thread.start()
        thread.join(0.1)
        seen.append(thread.is_alive())

    file = Diary(make)
    forks.protect(file, is_file=True)

    assert child_ends(lambda: made.pages == [])
    thread.join(60)
    assert ([True], [], False) == (seen, made.pages, thread.is_alive())


def test_two_threads_fork_at_once(monkeypatch):
    """One after the other, as seen by what is protected."""
    monkeypatch.setattr(forks, "_PATIENCE", 60)
    diary = Diary()
    forks.protect(diary, is_file=True)
    ended = []
    threads = [threading.Thread(target=lambda: ended.append(child_ends())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert ([True] * 4, ["before", "parent"] * 4) == (ended, diary.pages)


@pytest.mark.parametrize("lock", ["door", "_turn"])
def test_a_fork_that_has_no_more_patience(monkeypatch, lock):
    """Whoever is in its way may be stuck; the child is told all the same, and can make things. Of files only those are told that are sure."""
    monkeypatch.setattr(forks, "_PATIENCE", 0.01)
    user, file, held, leave = Diary(), Diary(), threading.Event(), threading.Event()
    forks.protect(user)
    forks.protect(file, is_file=True)

    def hold():
        with getattr(forks, lock):
            held.set()
            leave.wait(60)

    def can_make():
        with forks.door:
            forks.protect(Diary())
        return True

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    told = ["before"] * (lock == "door")
    try:
        assert child_ends(lambda: (user.pages, file.pages) == ([*told, "child"], ["child"]) and can_make())
    finally:
        leave.set()
        thread.join(60)

    assert (["before", "parent"] * (lock == "door"), []) == (user.pages, file.pages)


def test_what_one_of_them_raises_in_the_child_holds_up_nobody(monkeypatch):
    """All others begin anew, and nothing is left of the fork."""
    said = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: said.append(str(unraisable.exc_value)))
    first, last = Diary(), Diary()

    class Broken(Diary):
        def after_fork_in_child(self):
            if self.pages == ["before"]:  # not around forks of other tests
                raise RuntimeError("no room")

    broken = Broken()
    for thing in (first, broken, last):
        forks.protect(thing)

    assert child_ends(lambda: (said, first.pages, last.pages, forks._forking) == (["no room"], *[["before", "child"]] * 2, {}))


def test_what_one_of_them_raises_holds_up_nobody(monkeypatch):
    """All others go on, and things can be made."""
    said = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: said.append(str(unraisable.exc_value)))
    first, last = Diary(), Diary()

    class Broken(Diary):
        def after_fork_in_parent(self):
            if self.pages == ["before"]:  # not around forks of other tests
                raise RuntimeError("can't start new thread")

    forks.protect(first, is_file=True)
    broken = Broken()
    forks.protect(broken, is_file=True)
    forks.protect(last, is_file=True)

    assert child_ends()
    assert (["can't start new thread"], [["before", "parent"]] * 2) == (said, [first.pages, last.pages])

    def come():
        with forks.door:
            said.append("open")

    thread = threading.Thread(target=come, daemon=True)
    thread.start()
    thread.join(60)
    assert "open" == said[-1]
