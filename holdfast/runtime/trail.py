"""Does the code ask for the same as it did when the run was recorded? Each scope leaves a trail; each step records where it stood on it.

Theory of operation. The trail is a digest of everything the scope was given so far: for each step its name and the bytes of its outcome,
one after the other. A step made at the same trail as a recorded one must be the same step, for the code had exactly the same to go by: if
it is another one, the code has changed or depends on something that is not recorded (the time, chance, a file). That is a certain
divergence, and it is noticed before the step runs.

There must be no false alarm, so the trail is lost for good as soon as timing may have had a say: when a step is made before the outcome
of the one before was looked at (`result`, ``await``), or from another thread or asyncio task than the body's own. "Looked at", and not "was
done": whether a quick task is done already is itself timing, as is the order in which ``as_completed`` hands out what is done. A step
made without a trail is recorded as such, and makes the trail be lost when it is replayed.

The first attempt of a body and the second may differ (whatever failed was not a step), so each attempt number has trails of its own.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.runtime.future import TaskFuture
    from holdfast.runtime.sight import Place
    from holdfast.typing import StepId, StepRecord

DIGEST_SIZE = 12
LOST = b""


class Trail:
    """Where one attempt of a body stands."""

    __slots__ = ("_future", "_owner", "_step", "digest")

    def __init__(self, attempt: int, owner: Place | None) -> None:
        """Start the trail of an attempt whose body runs at ``owner``."""
        self.digest = blake2b(b"attempt %d" % attempt, digest_size=DIGEST_SIZE).digest()
        self._owner = owner
        self._step: StepId | None = None
        self._future: TaskFuture[Any] | None = None

    def here(self, place: Place, outcome: Callable[[StepId], StepRecord | None]) -> bytes:
        """The digest up to now, or `LOST`; ``place`` is where the code is, ``outcome`` looks up the record of a finished step."""
        if not self.digest:
            return LOST
        if self._owner != place:
            return self.lose()
        future, step = self._future, self._step
        if future is not None and step is not None:
            record = outcome(step) if future.is_collected else None
            if record is None:
                return self.lose()
            self.digest = _joined(self.digest, step, record)
            self._future = self._step = None
        return self.digest

    def passed(self, step: StepId, future: TaskFuture[Any]) -> None:
        """The scope has made a step."""
        if self.digest:
            self._step, self._future = step, future

    def lose(self) -> bytes:
        """From here on timing had a say."""
        self.digest = LOST
        self._future = self._step = None
        return LOST


def _joined(digest: bytes, step: StepId, record: StepRecord) -> bytes:
    joined = blake2b(digest, digest_size=DIGEST_SIZE)
    joined.update(step.digest())
    joined.update(record.kind.encode())
    joined.update(record.payload)
    return joined.digest()
