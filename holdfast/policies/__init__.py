"""Policies: frozen data that decides. They never sleep, read a clock, draw chance or do I/O; the runtime does, and asks them."""

from __future__ import annotations

from holdfast.policies.cache import CachePolicy
from holdfast.policies.classify import Verdict, classify, is_transient
from holdfast.policies.probe import Probe
from holdfast.policies.retry import AttemptState, Retry, RetryPolicy, Stop, StopReason
from holdfast.policies.timeout import TimeoutPolicy
from holdfast.policies.tune import Tune

__all__ = [
    "AttemptState",
    "CachePolicy",
    "Probe",
    "Retry",
    "RetryPolicy",
    "Stop",
    "StopReason",
    "TimeoutPolicy",
    "Tune",
    "Verdict",
    "classify",
    "is_transient",
]
