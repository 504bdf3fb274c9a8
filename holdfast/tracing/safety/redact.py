"""What must not leave: names that mark secrets, and texts in which they are likely to stand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from holdfast import _secrets

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE_LIMIT = 500
MASK = "[redacted]"

custom: Callable[[str], str] | None = None
"""The application's own redactor, asked last: given to `holdfast.tracing.configure`."""


def _to_nobody(line: str) -> None:
    del line


complain: Callable[[str], object] = _to_nobody
"""Told what is wrong with the application's redactor; `holdfast.tracing.safety.firewall` points it at stderr."""

_SENSITIVE = (
    "password|passwd|passphrase|pwd|secret|token(?!i[sz])|api[_-]?key|apikey|access[_-]?key|private[_-]?key|authorization|auth[_-]?header"
    "|bearer|cookie|credential|session[_-]?id|(?<![a-z])ssn(?![a-z])|credit[_-]?card|card[_-]?number|cvv"
)
_SECRET_NAME = re.compile(_SENSITIVE, re.IGNORECASE)
# Counts and limits of language model tokens are no secrets, and people tune by them.
_HARMLESS_NAME = re.compile(
    r"(?:max|min|num|n|total|prompt|completion|input|output)_?tokens?(?:_(?:count|used|limit))?|tokens?_(?:count|used|limit)|tokens",
    re.IGNORECASE,
)

# These run over texts that strangers write: every repetition is bounded or possessive, so the time is linear.
_ASSIGNMENT = re.compile(r"(?<![\w-])([\w-]++)\\*+[\"']?\s{0,5}[:=]\s{0,5}\\*+")
_VALUE = re.compile(
    r"\[redacted\](?=[\s\"',;&)}\]]|\Z)"  # masked before, and nothing beside it
    r"|\"(?:[^\"\\]|\\.)*+(?:\"|\Z)|'(?:[^'\\]|\\.)*+(?:'|\Z)|(?:(?:bearer|basic|digest|token)\s)?[^\s\"',;&)}\]]++",
    re.IGNORECASE,
)
# Without any of these a text holds no secret, and finding them costs 1 us instead of 10. Case-folded, because patterns that ignore case
# also take the long s for "s"; and free of "i", for which they take a letter that does not fold to it.
_HINTS_OF_NAMES = ("pass", "pwd", "secret", "token", "key", "auth", "bearer", "cook", "cred", "sess", "ssn", "card", "cvv")
_HINTS = ("://", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "ghp", "gho", "ghs", "xox", "AKIA", "eyJ")
_UNNAMED = re.compile(
    r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user:password@ in a URL
    r"|(?<=\bbearer\s)[\w.+/=~-]{6,}"
    r"|\b(?-i:sk|pk|rk|ghp|gho|ghs|xox[abps])[-_][A-Za-z0-9_-]{10,}"  # keys whose maker marks them
    r"|\b(?-i:AKIA)[0-9A-Z]{12,}"  # an AWS access key
    r"|\b(?-i:eyJ)[\w-]{8,}(?:\.[\w-]*)*",  # a JSON Web Token
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Whether a parameter or key of this name holds a secret.

    >>> is_secret("api_key"), is_secret("X-Auth-Token"), is_secret("city"), is_secret("max_tokens")
    (True, True, False, False)
    """
    return _SECRET_NAME.search(name) is not None and _HARMLESS_NAME.fullmatch(name) is None


def scrub(text: str) -> str:
    """Mask what looks like a secret in ``text``, and what was given for a parameter that is marked as one; what is returned is UTF-8's.

    >>> scrub("GET https://bob:hunter2@api.example.com/?api_key=abc123&city=Oslo failed")
    'GET https://[redacted]@api.example.com/?api_key=[redacted]&city=Oslo failed'
    """
    text = _secrets.masked(text, MASK)
    folded = text.casefold()
    if ("=" in text or ":" in text) and _holds_any(folded, _HINTS_OF_NAMES):
        text = _mask_assigned(text)
    if "bearer" in folded or _holds_any(text, _HINTS):
        text = _UNNAMED.sub(MASK, text)
    return writable(text if custom is None else _customized(custom, text))


def writable(text: str) -> str:
    r"""``text`` without halves of surrogate pairs, which names of files have: UTF-8 holds none, and one of them costs an exporter its batch.

    >>> writable("caf\udce9.txt")
    'caf\\udce9.txt'
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """``text`` with everything but printable characters escaped: newlines, terminal codes, Unicode line separators, surrogates."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _customized(redact: Callable[[str], str], text: str) -> str:
    """What the application's redactor makes of ``text``; one that fails lets nothing through."""
    try:
        made = redact(text)
    except Exception as error:  # noqa: BLE001 - the user's function; said on stderr, for what went wrong must not leave either
        return _refused(f"raised {type(error).__name__}")
    return made if isinstance(made, str) else _refused(f"returned a {type(made).__name__} instead of a text")


def _refused(what: str) -> str:
    complain(f"holdfast: the redactor given to configure {what}; what it cannot judge is left out")
    return MASK


def _holds_any(text: str, hints: tuple[str, ...]) -> bool:
    for hint in hints:  # noqa: SIM110 - half the time that any() takes, and every line and error text passes here
        if hint in text:
            return True
    return False


def _mask_assigned(text: str) -> str:
    """Mask the values that are given to names of secrets: ``token=...``, ``"api_key": "..."``, ``Authorization: ...``."""
    done: list[str] = []
    start = 0
    for match in _ASSIGNMENT.finditer(text):
        if match.start() >= start and is_secret(match[1]) and (value := _VALUE.match(text, match.end())) is not None:
            quote = value[0][0] if value[0][0] in "\"'" else ""
            done.append(f"{text[start : match.end()]}{quote}{MASK}{quote}")
            start = value.end()
    return "".join((*done, text[start:]))


def message(error: BaseException) -> str:
    """Text of an exception, at most `MESSAGE_LIMIT` characters, secrets masked; never raises."""
    try:
        text = str.__str__(str(error))  # of markup, say, the text alone: a class of somebody's has other methods
    except Exception as trouble:  # noqa: BLE001 - the user's __str__
        return f"<the text of this {type(error).__name__} cannot be had: {type(trouble).__name__}>"
    text = scrub(_secrets.masked_beginning(text, MASK, 4 * MESSAGE_LIMIT)[: 4 * MESSAGE_LIMIT])
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"
