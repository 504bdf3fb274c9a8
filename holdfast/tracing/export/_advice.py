"""What to do about spans that a collector did not take: the same words whether it answers over HTTP or gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from holdfast.tracing.safety.redact import scrub

if TYPE_CHECKING:
    from holdfast.tracing.export._backends import Destination

_SAID_LIMIT = 120
SMALLER = "make the batches smaller: set OTEL_BSP_MAX_EXPORT_BATCH_SIZE below 512, or capture less"
SAMPLE = "sample, with OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG, or raise its limit"
AT_ITS_END = "the trouble is at its end: see its log"
NOT_THESE = "it does not take these spans"


class Answers(Protocol):
    """Sees each answer of one destination.

    Attributes:
        reason: What the latest one means and what to do; ``""`` when it was fine.
    """

    reason: str

    def take_refused(self) -> int:
        """How many spans were refused within answers that were fine otherwise, since this was last asked; `reason` says why."""
        ...


def on_credentials(destination: Destination) -> str:
    """They were refused."""
    return f"check {destination.credentials}"


def on_place(destination: Destination, where: str) -> str:
    """Something is there, but nothing for spans."""
    return f"nothing takes spans at {scrub(where)}: check {destination.place}"


def on_no_connection(destination: Destination, where: str, cause: str) -> str:
    """Nobody is there; ``cause`` is what the system says of it, such as ``Connection refused``."""
    return f"no connection to {scrub(where)}{f': {scrub(cause)}' if cause else ''}: is it running? check {destination.place}"


def on_no_http(destination: Destination, where: str) -> str:
    """Somebody is there who does not speak HTTP: gRPC, most likely."""
    return (
        f"what answers at {scrub(where)} does not speak HTTP: use its port for HTTP, which is often 4318, or protocol='grpc' "
        f"where that can be chosen; check {destination.place}"
    )


def refused(count: int, text: str) -> str:
    """Spans that were refused within an answer that was fine otherwise."""
    return f"{count} spans were refused: {scrub(text)}"


def said(text: str) -> str:
    """The beginning of what it says itself; ``""`` when it says nothing."""
    shown = " ".join(scrub(text[: 4 * _SAID_LIMIT]).split())
    return f"; it says: {shown[:_SAID_LIMIT]}" if shown else ""
