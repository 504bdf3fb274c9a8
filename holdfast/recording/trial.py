"""What is recorded of a task's keys since an override was made: what its guard judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.overrides.guard import Probes, Seen
from holdfast.recording.packing import unpack_answers
from holdfast.recording.store import ANSWERS, Reader

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from holdfast.overrides.override import Override
    from holdfast.recording.taps import Answer


class Trial(NamedTuple):
    """What was seen.

    Attributes:
        tried: Answers for keys under the override, in the order of time; those of probes left out: they are as rare as the policy says, whatever the ttl.
        others: The same for the other keys.
        probes: Of keys under it.
    """

    tried: list[Seen]
    others: list[Seen]
    probes: Probes

    @classmethod
    def of(cls, file: Path, override: Override) -> Trial:
        """Read it.

        Args:
            file: The recording.
            override: One that sets a ttl.
        """
        reader = Reader(file)
        try:
            stored = override.created - (override.ttl or 0.0)  # hits may be of entries that were there already
            answers = _answers(reader, override.task, stored)
            hits = _hits(reader, override.task, override.created)
        finally:
            reader.close()
        since = [each for each in answers if each.began >= override.created and each.kind != "probe"]
        tried = [_seen(each) for each in since if override.covers(each.key)]
        others = [_seen(each) for each in since if not override.covers(each.key)]
        asked = [is_stale for began, is_stale in probed(each for each in answers if override.covers(each.key)) if began >= override.created]
        return cls(tried, others, Probes(len(asked), sum(asked), hits))


def probed(answers: Iterable[Answer]) -> list[tuple[float, bool]]:
    """When each probe was made that has something to be compared with, and whether it found another value than the one that was stored.

    Args:
        answers: In the order of time.
    """
    stored: dict[int, int] = {}
    found: list[tuple[float, bool]] = []
    for each in answers:
        if not each.ok or not each.fingerprint:
            continue
        if each.kind != "probe":
            stored[each.key] = each.fingerprint
        elif each.key in stored:
            found.append((each.began, stored[each.key] != each.fingerprint))
    return found


def _answers(reader: Reader, task: str, since: float) -> list[Answer]:
    segments = list(reader.segments(task, ANSWERS, round(since * 1e6)))
    salt = segments[-1].salt if segments else 0  # another secret makes other hashes
    segments = [segment for segment in segments if segment.salt == salt]
    found = [each for segment in segments for each in unpack_answers(segment.data, segment.number) if segment.samples(each.key)]
    return sorted(found, key=lambda each: each.began)


def _hits(reader: Reader, task: str, since: float) -> float:
    """As a share of all gets, by the full hour; all of them while none were counted."""
    counted = [counts for _, counts in reader.counts(task, int(since))]
    gets = sum(each.gets for each in counted)
    return 1 - sum(each.fills for each in counted) / gets if gets else 1.0


def _seen(answer: Answer) -> Seen:
    return Seen(answer.key, answer.began, answer.fingerprint, answer.ok)
