"""What the tools of a chat completion become: a document, or members that are passed on as the caller wrote them.

A function that must be called (`tool_choice` names it, or requires the only one there is) is a document by another
name: its arguments are asked for, validated, retried and released as one, whatever the route's protocol. Any other use
of tools, JSON mode and parameters that only this protocol has go to a route that speaks it, unvalidated; any other
route refuses them by name.
https://platform.openai.com/docs/api-reference/chat/create
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from weir.errors import CallerError

MAX_TOOLS = 128
_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")
# What else only this protocol says.
_PASSED = ("frequency_penalty", "presence_penalty", "logit_bias", "verbosity")
# As many clients send them: they ask for nothing, and any protocol has a place for that.
_NOTHING: Mapping[str, Any] = {"frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}}


class ToolsRefused(CallerError, ValueError):
    """Tools are not what they should be; `pointer` is the member."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


class Function(NamedTuple):
    """A function that must be called, and the JSON Schema of its arguments."""

    name: str
    schema: Mapping[str, Any]


class ChatTools(NamedTuple):
    """What a body says of tools: the function that must be called, if one must, and the members to pass on."""

    forced: Function | None
    passed: dict[str, Any]


def take_tools(members: dict[str, Any]) -> ChatTools:
    """Take from a body's members what is about tools or passed on with them. Raises ToolsRefused."""
    found = {name: members.pop(name) for name in (*_TOOLS, *_PASSED) if name in members}
    passed = {name: value for name, value in found.items() if value != _NOTHING.get(name)}
    tools, choice = passed.get("tools") or [], passed.get("tool_choice")
    if not isinstance(tools, list) or len(tools) > MAX_TOOLS:
        raise ToolsRefused("/tools", f"expected a list of at most {MAX_TOOLS} functions")
    functions = [_function(tool, f"/tools/{number}") for number, tool in enumerate(tools)]
    if not functions:
        if isinstance(choice, Mapping) or choice == "required":
            raise ToolsRefused("/tool_choice", "expected the name of one of the tools, got none")
        return ChatTools(None, {name: value for name, value in passed.items() if name not in _TOOLS})
    forced = functions[0] if choice == "required" and len(functions) == 1 else None
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        named = choice.get("function")
        wanted = named.get("name") if isinstance(named, Mapping) else None
        forced = next((function for function in functions if function.name == wanted), None)
        if forced is None:
            raise ToolsRefused(
                "/tool_choice", f"expected the name of one of the tools, got {str(wanted)[:60]!r}"
            )
    return ChatTools(forced, passed)


def without_tools(passed: Mapping[str, Any]) -> dict[str, Any]:
    """The members that stay to be passed on where the tool has become a document."""
    return {name: value for name, value in passed.items() if name not in _TOOLS}


def told(message: Mapping[str, Any]) -> tuple[object, Any]:
    """(role, content) of a message as a conversation without tools has it: calls and their results are text."""
    role, content = message.get("role"), message.get("content") or message.get("refusal")
    if role in ("tool", "function"):
        return "user", content or "(nothing)"
    calls = message.get("tool_calls")
    if not calls or not isinstance(calls, list):
        return role, content
    texts = [content] if isinstance(content, str) and content else []
    if isinstance(content, list):
        texts += [str(part["text"]) for part in content if isinstance(part, Mapping) and part.get("text")]
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            texts.append(str(function.get("arguments") or "{}"))
    return role, "\n".join(texts) or "{}"


def _function(tool: object, pointer: str) -> Function:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(tool, Mapping) or tool.get("type") != "function" or not isinstance(function, Mapping):
        raise ToolsRefused(pointer, "expected a function: the type is not known here")
    name, schema = function.get("name"), function.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(name, str) or not name or not isinstance(schema, Mapping):
        raise ToolsRefused(f"{pointer}/function", "expected a name, and a JSON Schema as parameters")
    # What the function is for is what its document is for.
    described = function.get("description")
    said = {"description": described} if isinstance(described, str) and "description" not in schema else {}
    return Function(name, {**schema, **said})


def passed_bytes(passed: Mapping[str, Any]) -> int:
    """What a provider reads of what is passed on, beside the conversation: escaped, so no less than its UTF-8."""
    return len(json.dumps(passed["tools"])) if "tools" in passed else 0
