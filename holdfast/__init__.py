"""holdfast makes calls hold fast: one decorator gives a flaky call retries, a cache, a checkpoint and a trace."""

from __future__ import annotations

from holdfast import _wiring as _wiring
from holdfast._entrypoint import Entrypoint, entrypoint
from holdfast._task import Task, resilient, task
from holdfast.cache.memory import InMemoryCache
from holdfast.checkpoint.memory import InMemorySaver
from holdfast.errors import (
    CorruptRecord,
    HoldfastError,
    NodeTimeoutError,
    NotKeyable,
    NotSerializable,
    PolicyError,
    ReplayedError,
    StoreError,
    TaskContextError,
)
from holdfast.policies import CachePolicy, RetryPolicy, TimeoutPolicy
from holdfast.runtime.future import TaskFuture
from holdfast.runtime.inject import Runtime, get_config, get_stream_writer
from holdfast.values.codec import register
