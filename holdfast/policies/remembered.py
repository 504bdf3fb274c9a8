"""An error as bytes for a store, together with what it was judged to be."""

from __future__ import annotations

from holdfast.policies.classify import classify
from holdfast.values.failure import encode_failure


def remembered(error: Exception) -> bytes:
    """Encode an error so that `classify` says of what comes back what it says of the error now, though its response may be left out.

    Never raises: an error that cannot be looked at (its ``__str__`` raises, say) goes without a verdict.
    """
    try:
        verdict = classify(error)
    except Exception:  # noqa: BLE001 - a class of somebody else's may break anything
        verdict = None
    return encode_failure(error, verdict=verdict)
