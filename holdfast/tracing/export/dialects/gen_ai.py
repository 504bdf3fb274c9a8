"""OpenTelemetry's conventions for generative AI: what they say of tools, for tasks with ``kind="tool"``.

Names: https://github.com/open-telemetry/semantic-conventions-genai, "Execute tool span". A run is not called ``invoke_workflow``:
that is for groups of agents, and holdfast cannot know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Mapping


def additions(known: Mapping[str, Any]) -> dict[str, Any]:
    """Operation, name, arguments and result of a tool; nothing for other spans."""
    if known.get(names.TASK_KIND) != "tool":
        return {}
    added: dict[str, Any] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": known[names.TASK_NAME]}
    if names.INPUT in known:
        added["gen_ai.tool.call.arguments"] = known[names.INPUT]
    if names.OUTPUT in known:
        added["gen_ai.tool.call.result"] = known[names.OUTPUT]
    return added
