"""Forked children in tests: they never become a second pytest, and one that hangs is a failure like any other."""

from __future__ import annotations

import os
import signal
import time
import traceback
from typing import TYPE_CHECKING

import pytest

from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable


def in_child(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked child, and say how that ended: 0 when it returned something true, 1 when not, 2 when it raised."""
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        code = 2
        try:
            code = 0 if work() else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return exit_code_of(child)


def exit_code_of(child: int) -> int:
    """How a forked child ended. One that hangs says where on stderr, by pytest's faulthandler, and is gone."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGABRT)
    os.waitpid(child, 0)
    pytest.fail(f"the forked child {child} hung")
