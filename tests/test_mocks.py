"""Stand-ins of `unittest.mock` are decorated like the functions they stand in for."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock, Mock, call

import pytest

from holdfast import RetryPolicy, resilient, task
from holdfast.testing import FakeClock


@pytest.mark.parametrize("decorator", [resilient, task], ids=["resilient", "task"])
def test_a_mock_is_a_function_to_decorate(decorator: Any, clock: FakeClock) -> None:
    """It has any attribute that it is asked for, and is no task for that."""
    stand_in = Mock(side_effect=[ConnectionError("reset"), "sunny"])
    forecast = decorator(retry_policy=RetryPolicy())(stand_in)

    assert "sunny" == (forecast("Oslo") if decorator is resilient else forecast.invoke("Oslo"))
    assert [call("Oslo")] * 2 == stand_in.call_args_list


def test_an_async_mock_is_an_async_function(clock: FakeClock) -> None:
    """Its calls are awaited, so what they raise is retried."""
    stand_in = AsyncMock(side_effect=[ConnectionError("reset"), "sunny"])
    forecast = resilient(stand_in)

    async def ask() -> str:
        return str(await forecast("Oslo"))

    assert "sunny" == asyncio.run(ask())
    assert 2 == stand_in.await_count
