"""What a collector's answers over HTTP mean, and what to do about them, in one line; those over gRPC stand in `_grpc`.

The exporter of the SDK tells a status code and its standard reason, and takes some losses for success: a redirect, a web page, and an
answer of 200 that says how many spans were refused. So its HTTP session is ours, and looks at each answer.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from http.client import BadStatusLine, RemoteDisconnected
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import requests
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from holdfast.tracing.export import _advice
from holdfast.tracing.safety.redact import scrub

if TYPE_CHECKING:
    from holdfast.tracing.export._backends import Destination, Headers

_HEADER_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_OF_OTLP = frozenset({"content-type", "content-encoding", "user-agent"})
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED})
_NOT_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.GONE})


class UnwantedAnswer(requests.RequestException):
    """An answer that the exporter would take for success."""


class Session(requests.Session):
    """Sends what the exporter gives it, to one destination.

    Args:
        destination: Where to.

    Attributes:
        reason: What the latest answer means and what to do; ``""`` when it was fine.
    """

    def __init__(self, destination: Destination) -> None:
        super().__init__()
        self.reason = ""
        self._destination = destination
        self._foreign = _foreign(destination.headers) if destination.is_sealed else frozenset[str]()
        self._refused = 0
        if destination.is_sealed:
            self.auth = _as_it_is

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send, without headers that are another collector's, and judge the answer.

        Raises:
            UnwantedAnswer: It is a redirect, which would lose the spans, or no answer of a collector.
            requests.ConnectionError: There is no connection; the reason says why, in words without the client's inner workings.
        """
        for name in self._foreign:
            request.headers.pop(name, None)
        self.reason = ""
        try:
            response = super().send(request, **options | {"allow_redirects": False})
        except requests.ConnectionError as error:
            where = request.url or ""
            if _is_answered_otherwise(error):
                self.reason = _advice.on_no_http(self._destination, where)
            else:
                self.reason = _advice.on_no_connection(self._destination, where, _cause(error))
            raise
        self.reason = self._meaning(response)
        if self.reason and response.status_code < HTTPStatus.BAD_REQUEST and not self._refused:
            raise UnwantedAnswer(self.reason)
        return response

    def take_refused(self) -> int:
        """How many spans were refused within answers that were fine otherwise, since this was last asked; `reason` says why."""
        refused, self._refused = self._refused, 0
        return refused

    def _meaning(self, response: requests.Response) -> str:
        code = response.status_code
        status = f"{code} {response.reason or ''}".strip()
        if code < HTTPStatus.MULTIPLE_CHOICES:
            return self._of_success(response)
        if code < HTTPStatus.BAD_REQUEST:
            place = scrub(response.headers.get("Location", ""))
            return f"{status}, to {place!r}: give the address that is meant, in {self._destination.place}"
        return f"{status}: {self._advice(code, response)}{_said(response)}"

    def _advice(self, code: int, response: requests.Response) -> str:
        if code in _REFUSED:
            return _advice.on_credentials(self._destination)
        if code in _NOT_THERE:
            return _advice.on_place(self._destination, response.url)
        if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return _advice.SMALLER
        if code == HTTPStatus.TOO_MANY_REQUESTS:
            after = response.headers.get("Retry-After", "")
            when = f" for {after} s" if after.isdecimal() else ""
            return f"it wants less{when}: {_advice.SAMPLE}"
        if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _advice.AT_ITS_END
        return _advice.NOT_THESE

    def _of_success(self, response: requests.Response) -> str:
        kind = _kind(response)
        if kind == "text/html":
            return f"a web page answers at {scrub(response.url)}: check {self._destination.place}"
        if kind != "application/x-protobuf":
            return ""
        try:
            partial = ExportTraceServiceResponse.FromString(response.content).partial_success
        except DecodeError:
            return f"what answers at {scrub(response.url)} does not speak OTLP: check {self._destination.place}"
        self._refused += partial.rejected_spans
        return _advice.refused(partial.rejected_spans, partial.error_message) if partial.rejected_spans else ""


def _foreign(own: Headers) -> frozenset[str]:
    """Names of the headers that the exporter takes from the environment, for a collector that is not this destination."""
    text = next((text for name in _HEADER_VARIABLES if (text := os.environ.get(name))), "")
    names = {unquote(pair.partition("=")[0]).strip().lower() for pair in text.split(",")}
    return frozenset(names - {name.lower() for name in own} - _OF_OTLP - {""})


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authentication that changes nothing: without one, requests puts a login from ``.netrc`` in the place of our header."""
    return request


def _cause(error: BaseException | None) -> str:
    """What the system says of a failed connection, such as ``Connection refused``; ``""`` when it says nothing."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__cause__ or error.__context__
    return ""


def _is_answered_otherwise(error: BaseException | None) -> bool:
    """Whether somebody answered, and not in HTTP/1.1."""
    while error is not None:
        if isinstance(error, BadStatusLine):
            return not isinstance(error, RemoteDisconnected)
        error = error.__cause__ or error.__context__
    return False


def _kind(response: requests.Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _said(response: requests.Response) -> str:
    """The beginning of what it says itself, when that is meant to be read."""
    if _kind(response) not in {"application/json", "text/plain"}:
        return ""
    return _advice.said(response.text)
