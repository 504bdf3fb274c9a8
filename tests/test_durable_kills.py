"""Processes that kill themselves at the worst instant: with a result in hand, after a failure they got over, inside a nested task."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.test_durable import lines, said, started

if TYPE_CHECKING:
    from pathlib import Path

HELD = """
def die():
    os.kill(os.getpid(), signal.SIGKILL)

def hold(n, value):
    append("seen", n)
    if sum(line.strip() == str(n) for line in open(folder + "/seen")) == 1:
        die()  # the instant it holds this result for the first time
    return value

@entrypoint(saver)
def held(_):
    return [hold(n, charge(n, 0).result()) for n in range(8)]

@entrypoint(saver)
async def aheld(_):
    return [hold(n, await acharge(n, 0)) for n in range(8)]

@task
def outer(n):
    return hold(n, charge(n, 0).result()) + hold(n + 1, charge(n + 1, 0).result())

@entrypoint(saver)
def nested(_):
    return [outer(n).result() for n in (0, 2, 4, 6)]

@task
def primary():
    append("tried", 1)
    if not os.path.exists(folder + "/healthy"):
        raise ConnectionError("down")
    return 1

@entrypoint(saver)
def order(_):
    try:
        account = primary().result()
    except ConnectionError:
        account = 2
    paid = charge(account, 0).result()
    if not os.path.exists(folder + "/healthy"):
        die()
    return account
"""


@pytest.mark.parametrize("plan", ["held", "aheld", "nested"])
def test_killed_with_a_result_in_hand(tmp_path: Path, plan: str) -> None:
    """Eight times in eight steps: none that anybody has seen is done again, in a nested task neither."""
    for life in range(8):
        with started(tmp_path, f"{HELD}\n{plan}.invoke({0 if life == 0 else None}, thread_id='t')") as process:
            _, errors = process.communicate(timeout=60)
        assert (-signal.SIGKILL, "") == (process.returncode, errors)
        assert life + 1 == lines(tmp_path, "paid").total()

    values = [n * n for n in range(8)]
    expected = [values[n] + values[n + 1] for n in (0, 2, 4, 6)] if plan == "nested" else values
    assert str(expected) == said(tmp_path, f"{HELD}\nprint({plan}.invoke(None, thread_id='t'))")
    assert dict.fromkeys(range(8), 1) == lines(tmp_path, "paid")


def test_killed_after_a_failure_it_got_over(tmp_path: Path) -> None:
    """What failed then is well now; the branch taken is the same, and there is one payment."""
    with started(tmp_path, f"{HELD}\norder.invoke(0, thread_id='t')") as process:
        process.communicate(timeout=60)
    assert (-signal.SIGKILL, {2: 1}) == (process.returncode, lines(tmp_path, "paid"))

    (tmp_path / "healthy").touch()
    assert "2" == said(tmp_path, f"{HELD}\nprint(order.invoke(None, thread_id='t'))")
    assert ({2: 1}, {1: 1}) == (lines(tmp_path, "paid"), lines(tmp_path, "tried"))
