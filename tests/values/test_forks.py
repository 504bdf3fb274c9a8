"""What is done around a fork."""

from __future__ import annotations

import gc
import os
import weakref

import pytest

from holdfast.values import forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


class Diary:
    def __init__(self):
        self.pages = []

    def before_fork(self):
        self.pages.append("before")

    def after_fork_in_parent(self):
        self.pages.append("parent")

    def after_fork_in_child(self):
        self.pages.append("child")


def test_parent_and_child_each_get_their_own_call():
    """Before the fork once, and afterwards in each process what is meant for it."""
    diary = Diary()
    forks.protect(diary)
    child = os.fork()
    if child == 0:
        os._exit(0 if diary.pages == ["before", "child"] else 1)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ["before", "parent"] == diary.pages


def test_nothing_is_kept_alive():
    """What nobody holds any more is forgotten, and a fork does not miss it."""
    diary = Diary()
    forks.protect(diary)
    seen = weakref.ref(diary)
    del diary
    gc.collect()

    assert seen() is None
