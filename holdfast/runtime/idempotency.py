"""`get_idempotency_key`: a name for the effect that a task is about to have on another service."""

from __future__ import annotations

import os
import threading
from hashlib import blake2b
from typing import TYPE_CHECKING

from holdfast.errors import TaskContextError
from holdfast.runtime.context import current

if TYPE_CHECKING:
    from holdfast.runtime.run import Run
    from holdfast.runtime.state import Call

_lock = threading.Lock()


def get_idempotency_key() -> str:
    """A key for the other service that this task calls, such as the ``Idempotency-Key`` header of a payment API.

    It is the same in all attempts of the task, and with a checkpointer also when the run is resumed, in another process too; and different
    for any other call, even of the same task with the same arguments. So a service that honours such keys does the work once, although
    the task may have died after the service had done it.

    In an entrypoint's own body it stands for the run. In a function decorated with ``@resilient`` it is that of the task around it.

    Returns:
        A UUID as text, 36 characters.

    Raises:
        TaskContextError: Called outside a run.
    """
    scope = current.get()
    if scope is None:
        msg = "get_idempotency_key() was called outside a run; call it in a @task or an @entrypoint while it runs"
        raise TaskContextError(msg)
    return key_of(scope.run, scope.call)


def key_of(run: Run, call: Call) -> str:
    """A name for a call of a run that no other call has, and that it has again when the run is resumed."""
    return key_in(run.facts.run_id, _name(call))


def key_in(run_id: str, name: bytes = b"") -> str:
    """The key of a call of that name; without one that of the run's own body."""
    from uuid import UUID  # finds out about the platform when it is loaded

    digest = blake2b(run_id.encode("utf-8", "surrogatepass"), digest_size=16, person=b"holdfast-effect")
    digest.update(b"\0" + name)
    return str(UUID(bytes=digest.digest()))


def _name(call: Call) -> bytes:
    if call.is_body:
        return b""
    if call.step is not None:
        return call.step.digest()
    with _lock:  # without a checkpointer a call has no name of its own: nothing will ever resume it
        if call.nonce is None:
            call.nonce = os.urandom(16)
        return call.nonce
