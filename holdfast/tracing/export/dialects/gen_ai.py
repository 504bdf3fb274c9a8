"""OpenTelemetry's conventions for generative AI: what they say of conversations, and of tools, for tasks with ``kind="tool"``.

Names: https://github.com/open-telemetry/semantic-conventions-genai, "Execute tool span". A run is not called ``invoke_workflow``:
that is for groups of agents, and holdfast cannot know. Where nobody asks for it none is added: Jaeger 2.20 takes every trace with a name of
``gen_ai`` for one of an agent, and shows it so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Mapping


def additions(known: Mapping[str, Any]) -> dict[str, Any]:
    """The conversation, which is the thread, where one was given; of a tool its operation, name, arguments and result."""
    added: dict[str, Any] = {"gen_ai.conversation.id": known[names.SESSION_ID]} if names.SESSION_ID in known else {}
    if known.get(names.TASK_KIND) != "tool":
        return added
    added |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": known[names.TASK_NAME]}
    if names.INPUT in known:
        added["gen_ai.tool.call.arguments"] = known[names.INPUT]
    if names.OUTPUT in known:
        added["gen_ai.tool.call.result"] = known[names.OUTPUT]
    return added
