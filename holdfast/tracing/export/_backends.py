"""The backends that take OTLP: where each listens, what it wants in the headers, and which variables of its own say so.

A backend's variables mean what they mean to its own client. Read in:

- LangSmith: langsmith 0.15.0, ``langsmith/utils.py`` (`get_env_var`, `get_api_url`), ``integrations/otel/processor.py``, ``client.py``
- Langfuse: langfuse 5.0.4, ``langfuse/_client/environment_variables.py`` and ``span_processor.py``
- Phoenix: arize-phoenix-otel 0.17.2, ``phoenix/otel/settings.py`` and ``otel.py``; arize-phoenix 20.26.1, ``routers/v1/traces.py``
- MLflow: mlflow 3.17.2, ``mlflow/tracing/utils/otlp.py`` and ``mlflow/server/otel_api.py``
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from holdfast.errors import PolicyError
from holdfast.tracing.export import _targets, dialects

if TYPE_CHECKING:
    from collections.abc import Callable

_TRACES = "/v1/traces"
_NO = frozenset({"false", "0", "no", "off"})
_YES = frozenset({"true", "1", "yes", "on"})

Headers = dict[str, str]


class Backend(NamedTuple):
    """A backend with an endpoint, headers and a dialect of its own.

    Attributes:
        home: Its address where nobody says another one.
        path: Where it takes spans, below its address.
        places: Variables with its address, the first that is set counts.
        headers: What a project and the environment make of its headers.
        credentials: What to look at when it refuses them.
        place: What to look at when it is not there.
        is_named: Whether the environment asks for it.
    """

    home: str
    path: str
    places: tuple[str, ...]
    headers: Callable[[str | None], Headers]
    credentials: str
    place: str
    is_named: Callable[[], bool]


class Destination(NamedTuple):
    """Where spans go, and how.

    Attributes:
        backend: Its name.
        target: Protocol and endpoint.
        headers: Sent with each request; secrets are among them.
        project: Project or experiment, ``""`` for the backend's own choice.
        speech: What is added to spans on the way.
        is_sealed: Whether headers for collectors in general (``OTEL_EXPORTER_OTLP_HEADERS``) stay away: they are another one's secrets.
        credentials: What to look at when they are refused.
        place: What to look at when nobody is there.
    """

    backend: str
    target: _targets.Target
    headers: Headers
    project: str
    speech: dialects.Speech
    is_sealed: bool
    credentials: str
    place: str


def destination(
    backend: str, *, endpoint: str | None, protocol: str | None, project: str | None, headers: Mapping[str, str] | None
) -> Destination:
    """Judge what was given for a backend of `NAMES`, and complete it from the environment.

    Args:
        backend: One of `NAMES`.
        endpoint: Its address, with or without the path; None for the environment's, else the usual one.
        protocol: For ``otlp`` and ``jaeger`` only: see `_targets.target`.
        project: Project or experiment; None for the environment's, else the backend's own choice.
        headers: Further ones; they win over those that the environment makes.

    Raises:
        PolicyError: One of them, or a variable, cannot work; or credentials are missing.
    """
    given = _checked(headers)
    known = BACKENDS.get(backend)
    if known is None or backend == "langfuse":
        _refuse_project(backend, project)
    if known is None:
        return _collector(backend, _targets.target(endpoint, protocol), given)
    if protocol not in {None, _targets.HTTP}:
        raise PolicyError(f"protocol={protocol!r} means nothing to backend {backend!r}, which takes spans over HTTP: leave it out")
    if project is not None and (not isinstance(project, str) or not project.strip()):
        raise PolicyError(f"project={project!r} is no name: leave it out for what the environment says")
    overruled = {name.lower() for name in given}
    sent = {name: value for name, value in known.headers(project).items() if name.lower() not in overruled} | given
    _refuse_missing(backend, sent)
    return Destination(
        backend=backend,
        target=_target(known, endpoint),
        headers=sent,
        project=_project_of(sent),
        speech=dialects.speech((backend,), names_ancestors=backend == "langsmith"),
        is_sealed=True,
        credentials=known.credentials,
        place=known.place,
    )


def _collector(backend: str, target: _targets.Target, headers: Headers) -> Destination:
    return Destination(
        backend=backend,
        target=target,
        headers=headers,
        project="",
        speech=dialects.speech(dialects.wanted()),
        is_sealed=False,
        credentials="OTEL_EXPORTER_OTLP_HEADERS",
        place="OTEL_EXPORTER_OTLP_ENDPOINT",
    )


def named() -> tuple[str, ...]:
    """Backends that the environment asks for, in the order of `BACKENDS`, then a collector; ``local`` when it asks for none."""
    found = [name for name, backend in BACKENDS.items() if backend.is_named()]
    if variable(*_targets.ENDPOINT_VARIABLES):
        found.append("otlp")
    return tuple(found) or ("local",)


def variable(*names: str) -> str:
    """The first of these variables that says something, without blanks and quotes around; ``""`` when none does."""
    values = (os.environ.get(name, "").strip().strip("\"'") for name in names)
    return next((value for value in values if value), "")


def _target(backend: Backend, endpoint: str | None) -> _targets.Target:
    """The whole URL: what was given may stop anywhere in the path."""
    where = "endpoint"
    if endpoint is None:
        where = next((name for name in backend.places if variable(name)), "endpoint")
        endpoint = variable(*backend.places) or backend.home
    parts = urlsplit(endpoint) if isinstance(endpoint, str) else None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.netloc:
        raise PolicyError(f"{where}={endpoint!r} is not a URL: write for example {backend.home!r}")
    path = parts.path.rstrip("/")
    if not path.endswith(_TRACES):
        steps = backend.path.split("/")[1:]
        has = next(count for count in range(len(steps), -1, -1) if ("/" + path).endswith("/".join(["", *steps[:count]])))
        path = "/".join([path, *steps[has:]])
    return _targets.Target(_targets.HTTP, parts._replace(path=path).geturl())


def _checked(headers: Mapping[str, str] | None) -> Headers:
    if headers is not None and not isinstance(headers, Mapping):
        raise PolicyError("headers: give a dict of names and values, such as {'x-api-key': key}")  # what they are is secret
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not isinstance(value, str) or not (name + value).isprintable():
            raise PolicyError(f"headers: the one named {name!r} is no text that can be sent: give printable strings, without line breaks")
    return dict(headers or {})


def _refuse_project(backend: str, project: str | None) -> None:
    if project is not None:
        why = "its keys are those of one project" if backend == "langfuse" else "use 'langsmith', 'phoenix' or 'mlflow'"
        raise PolicyError(f"project={project!r} means nothing to backend {backend!r}: {why}")


def _refuse_missing(backend: str, headers: Headers) -> None:
    wanted, what = _NEEDED.get(backend, ("", ""))
    if wanted and not any(name.lower() == wanted and value for name, value in headers.items()):
        raise PolicyError(f"backend {backend!r} takes nothing without credentials: {what}, or give headers={{{wanted!r}: ...}}")


def _project_of(headers: Headers) -> str:
    return next((value for name, value in headers.items() if name.lower() in _PROJECT_HEADERS), "")


def _langsmith(project: str | None) -> Headers:
    project = project or variable("LANGSMITH_PROJECT", "LANGCHAIN_PROJECT", "LANGSMITH_SESSION", "LANGCHAIN_SESSION")
    return _filled({
        "x-api-key": variable("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY"),
        "Langsmith-Project": project,
        "X-Tenant-Id": variable("LANGSMITH_WORKSPACE_ID", "LANGCHAIN_WORKSPACE_ID"),
    })  # fmt: skip


def _langfuse(_project: str | None) -> Headers:
    public, secret = variable("LANGFUSE_PUBLIC_KEY"), variable("LANGFUSE_SECRET_KEY")
    headers = {"x-langfuse-ingestion-version": "4"}  # or what is sent appears ten minutes late
    return {"Authorization": _basic(public, secret), **headers} if public and secret else headers


def _phoenix(project: str | None) -> Headers:
    pairs = (pair.partition("=") for pair in variable("PHOENIX_CLIENT_HEADERS").split(",") if "=" in pair)
    headers = {unquote(name).strip().lower(): unquote(value).strip() for name, _, value in pairs}
    if key := variable("PHOENIX_API_KEY"):
        headers["authorization"] = f"Bearer {key}"
    return headers | _filled({"x-project-name": project or variable("PHOENIX_PROJECT", "PHOENIX_PROJECT_NAME")})


def _mlflow(project: str | None) -> Headers:
    experiment = project or variable("MLFLOW_EXPERIMENT_ID")
    if not experiment and (name := variable("MLFLOW_EXPERIMENT_NAME")):
        raise PolicyError(
            f"MLFLOW_EXPERIMENT_NAME={name!r} is not enough, since MLflow takes spans by the experiment's id: "
            "set MLFLOW_EXPERIMENT_ID, or give project=; `mlflow experiments search` lists the ids"
        )
    user, password, token = map(variable, ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"))
    login = _basic(user, password) if user and password else f"Bearer {token}" if token else ""
    wanted = {"x-mlflow-experiment-id": experiment or "0", "Authorization": login, "X-MLFLOW-WORKSPACE": variable("MLFLOW_WORKSPACE")}
    return _filled(wanted)  # experiment 0 is the one that every MLflow begins with


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")


def _filled(headers: Headers) -> Headers:
    return {name: value for name, value in headers.items() if value}


def _is(name: str, words: frozenset[str]) -> bool:
    return variable(name).lower() in words


def _names_langsmith() -> bool:
    switches = ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2")
    if any(_is(name, _NO) for name in switches):
        return False
    return any(_is(name, _YES) for name in switches) or bool(variable("LANGSMITH_API_KEY", "LANGCHAIN_API_KEY"))


def _names_langfuse() -> bool:
    return bool(variable("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")) and not _is("LANGFUSE_TRACING_ENABLED", _NO)


def _names_mlflow() -> bool:
    return variable("MLFLOW_TRACKING_URI").startswith(("http://", "https://"))  # files and databases take no OTLP


BACKENDS = {
    "langsmith": Backend(
        "https://api.smith.langchain.com",
        "/otel/v1/traces",
        ("LANGSMITH_ENDPOINT", "LANGCHAIN_ENDPOINT"),
        _langsmith,
        "LANGSMITH_API_KEY and, for a key of several workspaces, LANGSMITH_WORKSPACE_ID",
        "LANGSMITH_ENDPOINT",
        _names_langsmith,
    ),
    "langfuse": Backend(
        "https://cloud.langfuse.com",
        "/api/public/otel/v1/traces",
        ("LANGFUSE_BASE_URL", "LANGFUSE_HOST"),
        _langfuse,
        "LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and, since keys are of one region, LANGFUSE_BASE_URL",
        "LANGFUSE_BASE_URL",
        _names_langfuse,
    ),
    "phoenix": Backend(
        "http://localhost:6006",
        _TRACES,
        ("PHOENIX_COLLECTOR_ENDPOINT",),
        _phoenix,
        "PHOENIX_API_KEY",
        "PHOENIX_COLLECTOR_ENDPOINT",
        lambda: bool(variable("PHOENIX_COLLECTOR_ENDPOINT")),
    ),
    "mlflow": Backend(
        "http://localhost:5000",
        _TRACES,
        ("MLFLOW_TRACKING_URI",),
        _mlflow,
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_ID",
        _names_mlflow,
    ),
}
NAMES = ("otlp", "jaeger", *BACKENDS)
_NEEDED = {
    "langsmith": ("x-api-key", "set LANGSMITH_API_KEY (its Settings, API Keys)"),
    "langfuse": ("authorization", "set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY (its project's Settings, API Keys)"),
}
_PROJECT_HEADERS = frozenset({"langsmith-project", "x-project-name", "x-mlflow-experiment-id"})
