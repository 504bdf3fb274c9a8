"""The arithmetic of waiting between attempts."""

from __future__ import annotations


def interval(attempt: int, initial: float, factor: float, cap: float) -> float:
    """Seconds after failed attempt ``attempt``, before jitter: ``initial * factor ** (attempt - 1)``, at most ``cap``.

    Args:
        attempt: Number of the attempt that failed; the first is 1.
        initial: Seconds after the first failure.
        factor: What each further failure multiplies it by.
        cap: The most it may be, in seconds.

    Returns:
        Seconds, never above ``cap``, for any attempt number.
    """
    if initial == 0:
        return 0.0
    try:
        return min(initial * factor ** (attempt - 1), cap)
    except OverflowError:  # factor ** 10_000: far beyond any cap
        return cap


def full_jitter(interval: float, draw: float) -> float:
    """A delay drawn evenly from ``[0, interval]``, so that clients that failed together do not return together.

    "Full jitter" of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (Brooker, 2015).

    Args:
        interval: Seconds, the most to wait.
        draw: A random number in [0, 1).
    """
    return draw * interval
