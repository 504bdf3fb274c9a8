"""What must not leave: names that mark secrets, and texts in which they are likely to stand."""

from __future__ import annotations

import re

MESSAGE_LIMIT = 500
MASK = "[redacted]"

_SENSITIVE = (
    "password|passwd|passphrase|pwd|secret|token|api[_-]?key|apikey|access[_-]?key|private[_-]?key|authorization|auth[_-]?header"
    "|bearer|cookie|credential|session[_-]?id|ssn|credit[_-]?card|card[_-]?number|cvv"
)
_SECRET_NAME = re.compile(_SENSITIVE, re.IGNORECASE)
# Counts and limits of language model tokens are no secrets, and people tune by them.
_HARMLESS_NAME = re.compile(
    r"(?:max|min|num|n|total|prompt|completion|input|output)_?tokens?(?:_(?:count|used|limit))?|tokens?_(?:count|used|limit)|tokens",
    re.IGNORECASE,
)

_SECRET_TEXTS = re.compile(
    r"(?P<url>(?<=://)[^/\s:@]*:[^/\s@]+(?=@))"  # user:password@ in an URL
    r"|(?P<scheme>\b(?:bearer|basic)\s+)[\w.+/=~-]{6,}"  # an Authorization header
    rf"|(?P<named>\b[\w-]*(?:{_SENSITIVE})[\w-]*[\"']?\s*[:=]\s*)(?P<quote>[\"']?)(?!\s)[^\s\"',;&)}}\]]+(?P=quote)"  # api_key=..., "token": "..."
    r"|\b(?:sk|pk|rk|ghp|gho|ghs|xox[abps])[-_][A-Za-z0-9_-]{10,}"  # keys whose maker marks them
    r"|\bAKIA[0-9A-Z]{12,}"  # an AWS access key
    r"|\beyJ[\w-]{8,}(?:\.[\w-]*)*",  # a JSON Web Token
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Whether a parameter or key of this name holds a secret.

    >>> is_secret("api_key"), is_secret("X-Auth-Token"), is_secret("city"), is_secret("max_tokens")
    (True, True, False, False)
    """
    return _SECRET_NAME.search(name) is not None and _HARMLESS_NAME.fullmatch(name) is None


def scrub(text: str) -> str:
    """Mask what looks like a secret in ``text``.

    >>> scrub("GET https://bob:hunter2@api.example.com/?api_key=abc123&city=Oslo failed")
    'GET https://[redacted]@api.example.com/?api_key=[redacted]&city=Oslo failed'
    """
    return _SECRET_TEXTS.sub(_mask, text)


def _mask(match: re.Match[str]) -> str:
    kept = match["scheme"] or match["named"] or ""
    quote = match["quote"] or ""
    return f"{kept}{quote}{MASK}{quote}"


def message(error: BaseException) -> str:
    """Text of an exception, at most `MESSAGE_LIMIT` characters, secrets masked; never raises."""
    try:
        text = str(error)
    except Exception as trouble:  # noqa: BLE001 - the user's __str__
        return f"<the text of this {type(error).__name__} cannot be had: {type(trouble).__name__}>"
    text = scrub(text[: 4 * MESSAGE_LIMIT])
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"
