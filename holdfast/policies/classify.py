"""Is this error worth another attempt? Decided by what the error is, without importing the library it comes from.

An error that was remembered or journaled, and is raised again, is what the original was: the verdict was stored with it where the cache
stored it, because what it was judged by (a response, say) may not come back. Any other, in this order, the first that has an opinion:

1. the table (`holdfast.policies.error_table`), along the class's MRO, most specific first;
2. an HTTP status of 400 or more on the error or its response: 408, 425, 429 and 5xx are transient, but not 501 and 505;
3. programming errors (TypeError, ValueError, KeyError...): not transient;
4. what the error was raised from: ``raise ApiError(...) from error`` is what ``error`` is;
5. RuntimeError and OSError: not transient;
6. any other Exception, of a class nobody knows: transient. Whoever gives a task a retry policy wants it retried, and what is known to be
   pointless has been sorted out above. LangGraph, Temporal and tenacity do the same.

Only ``Exception`` is ever judged: KeyboardInterrupt, SystemExit, GeneratorExit and CancelledError never reach a policy.
"""

from __future__ import annotations

from functools import lru_cache

from holdfast.policies.attributes import origin, type_name
from holdfast.policies.error_rules import Verdict, http_status, permanent, status_verdict, transient
from holdfast.policies.error_table import LAST_RULES, RULES, WRAPPERS, Rule
from holdfast.values.raising import VERDICT

__all__ = ["Verdict", "classify", "is_transient"]

_MAX_DEPTH = 8  # how far causes are followed; chains can be circular
_UNKNOWN = transient("an error of unknown kind")
_ERROR_STATUS = 400


def classify(error: BaseException) -> Verdict:
    """Say whether the same call may well succeed a moment later, and why.

    >>> classify(ConnectionResetError())
    Verdict(is_transient=True, reason='a connection that failed or broke')
    >>> classify(KeyError("city"))
    Verdict(is_transient=False, reason='a programming error')
    """
    return _judge(error, 0)


def is_transient(error: BaseException) -> bool:
    """Say whether an error is worth another attempt: the default ``retry_on`` of a RetryPolicy.

    >>> is_transient(TimeoutError())
    True
    """
    return _judge(error, 0).is_transient


def _judge(error: BaseException, depth: int) -> Verdict:
    remembered = error.__dict__.get(VERDICT)
    if remembered is not None:
        return Verdict(*remembered)
    first, last, is_wrapper = _rules_for(type(error))  # type: ignore[arg-type] # classes are hashable; mypy looks at their instances
    for rule in first:
        answer = rule.judge(error)
        if isinstance(answer, Verdict):
            return answer
        if answer and depth < _MAX_DEPTH:
            return _all_of([_judge(other, depth + 1) for other in answer])
    status = http_status(error)
    if status is not None and status >= _ERROR_STATUS:
        return status_verdict(status)
    if last is None or is_wrapper:
        inherited = _inherited(error, depth, is_own=last is None)
        if inherited is not None:
            return inherited
    return last or _UNKNOWN


def _inherited(error: BaseException, depth: int, *, is_own: bool) -> Verdict | None:
    """What the error is by what it was raised from.

    A transient origin makes it transient. An origin that is not transient decides only for a class of one's own and an explicit
    ``from``: merely being raised inside an ``except KeyError:`` says nothing.
    """
    source = origin(error)
    if source is None or depth >= _MAX_DEPTH:
        return None
    verdict = _judge(source, depth + 1)
    if verdict.is_transient or (is_own and source is error.__cause__):
        return verdict._replace(reason=f"{verdict.reason} ({type_name(source)})")
    return None


def _all_of(verdicts: list[Verdict]) -> Verdict:
    return next((verdict for verdict in verdicts if not verdict.is_transient), verdicts[0])


@lru_cache(maxsize=1024)
def _rules_for(cls: type) -> tuple[tuple[Rule, ...], Verdict | None, bool]:
    """The rules for a class: those asked first, the verdict when none has an opinion, and whether its origin goes before that."""
    names = [name for base in cls.__mro__ for name in _names(base)]
    first = tuple(RULES[name] for name in names if name in RULES)
    for name in names:
        if name in LAST_RULES:
            rule = LAST_RULES[name]
            return first, permanent(rule.why), name in WRAPPERS
    return first, None, False


def _names(cls: type) -> tuple[str, ...]:
    package = cls.__module__.partition(".")[0]
    if package == "builtins":
        return (cls.__qualname__,)
    return (f"{cls.__module__}.{cls.__qualname__}", f"{package}.{cls.__qualname__}")
