"""The turns of a conversation, in whatever spelling, as canonical messages.

A canonical message has `role` (system, user, assistant, tool), `content` (a text), and where there are any
`tool_calls`, `tool_call_id` and `name`.

Decisions:
- Both spellings of keys (role and content, from and value) are read everywhere, for files mix them.
- A function call in ShareGPT is a tool call of the assistant. Tool calls are kept as they are, ids and all.
- Typed parts are joined without a space, as chat templates do. An image, audio or video becomes a marker in the text,
  so that a filter can see that the prompt needs it.
- What else a turn holds (`loss_weight`) is not kept, and flagged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from curate.errors import CurateError

MARKERS = {"image": "<image>", "audio": "<audio>", "video": "<video>"}

_ROLES = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bard", "bing", "model", "function_call"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "observation", "function"), "tool"),
}
_READ = {"role", "from", "content", "value", "function_call", "tool_calls", "tool_call_id", "name"}
_JSON_NAMES = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}


class ShapeError(CurateError):
    """The record is no SFT example, or the format cannot hold the chat."""


def turns(value: Any, key: str, flags: list[str]) -> list[dict[str, Any]]:
    """Return the canonical messages of a list of turns that stands under `key`; append to `flags` what to know.

    Flags: `media` (a part is an image, audio or video), `left:KEY` (turns hold KEY, which is not kept).
    Raises ShapeError that names the place at fault.
    """
    if not isinstance(value, list):
        raise ShapeError(f"{key} is {kind(value)}, not a list of turns")
    if not value:
        raise ShapeError(f"{key} is an empty list")
    return [_turn(turn, f"{key}[{position}]", flags) for position, turn in enumerate(value)]


def _turn(turn: Any, where: str, flags: list[str]) -> dict[str, Any]:
    if not isinstance(turn, Mapping):
        raise ShapeError(f"{where} is {kind(turn)}, not an object with role and content")
    role_key = "role" if turn.get("role") is not None else "from"
    name = turn.get(role_key)
    role = _ROLES.get(name.lower()) if isinstance(name, str) else None
    if role is None:
        shown = repr(name[:40]) if isinstance(name, str) else kind(name)
        raise ShapeError(f"{where}.{role_key} is {shown}, not a known role (user, assistant, system, tool …)")
    content_key = "value" if turn.get("content") is None and "value" in turn else "content"
    content = turn.get(content_key)
    calls = json_list(turn.get("tool_calls"), f"{where}.tool_calls")
    if name == "function_call":
        calls, content = _calls(content, f"{where}.{content_key}"), ""
    elif turn.get("function_call"):
        calls = calls + _calls(turn["function_call"], f"{where}.function_call")
    flags.extend(f"left:{key}" for key in turn if key not in _READ)
    if calls and role != "assistant":
        flags.append("left:tool_calls")
        calls = []
    message: dict[str, Any] = {"role": role}
    message["content"] = "" if content is None and calls else _content(content, f"{where}.{content_key}", flags)
    if calls:
        message["tool_calls"] = calls
    return message | {key: turn[key] for key in ("name", "tool_call_id") if turn.get(key)}


def _content(content: Any, where: str, flags: list[str]) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ShapeError(f"{where} is {kind(content)}, not text")
    return "".join(_part(part, f"{where}[{position}]", flags) for position, part in enumerate(content))


def _part(part: Any, where: str, flags: list[str]) -> str:
    """Return the text of a typed part, or the marker that stands for an image, audio or video."""
    if isinstance(part, str):
        return part
    name = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(name, str):
        raise ShapeError(f"{where} is {kind(part)}, not a text or a part with a type")
    if name in ("text", "input_text", "output_text"):
        text = part.get("text", part.get("value"))
        if not isinstance(text, str):
            raise ShapeError(f"{where}.text is {kind(text)}, not text")
        return text
    marker = next((marker for medium, marker in MARKERS.items() if medium in name), None)
    if marker is None:
        raise ShapeError(f"{where} has the unknown type {name[:40]!r}")
    flags.append("media")
    return marker


def _calls(value: Any, where: str) -> list[Any]:
    """Turn a function call (an object with a name, a list of them, or the JSON of either) into tool calls."""
    calls = json_list(value, where)
    if not calls or not all(isinstance(call, Mapping) and isinstance(call.get("name"), str) for call in calls):
        raise ShapeError(f"{where} is not a function call with a name")
    return [{"type": "function", "function": call} for call in calls]


def json_list(value: Any, key: str) -> list[Any]:
    """Return the list that `value` is, or whose JSON it is: null and blank text are empty, an object is one element."""
    if isinstance(value, str):
        if not value.strip():
            return []
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise ShapeError(f"{key} is not JSON: {error.msg}") from None
    if isinstance(value, Mapping):
        return [value]
    if value is None or isinstance(value, list):
        return value or []
    raise ShapeError(f"{key} is {kind(value)}, not a list")


def kind(value: Any) -> str:
    """Say what a JSON value is, for a message."""
    if type(value) in _JSON_NAMES:
        return _JSON_NAMES[type(value)]
    return f"the number {value}" if isinstance(value, (int, float)) else f"a {type(value).__name__}"
