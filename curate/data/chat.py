"""One record, whatever its shape, to one canonical chat, and back to the rows that trainers load.

The canonical chat is JSON with sorted keys, compact, non-ASCII kept: `{"messages": [{"content", "role", …}]}` and
`tools` where there are any. Two records with the same canonical chat are the same example.

Decisions:
- A record is recognised by the columns that it has and that are not null, so files may mix shapes. Where several shapes
  fit, the one that holds a whole conversation wins.
- Texts are kept as they are. Alpaca joins instruction, line break, input, as LLaMA-Factory does; "<noinput>" is an
  empty input (Self-Instruct's word for it).
- An `output` that is a list holds several right answers (Super-NI): the first is taken, and flagged.
- A `system` column is the first turn. Media that only a column tells of (`images`) are marked in the first user turn.
- What is no SFT example (preference pairs, KTO rows, documents) is refused with a reason, never bent into one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from curate.data.turns import MARKERS, ShapeError, json_list, kind, turns
from curate.errors import unknown_name

__all__ = ["CANONICAL", "FORMS", "Chat", "ShapeError", "from_chat", "to_chat"]

CANONICAL = ("instruction", "input", "output", "system", "history", "prompt", "messages", "tools", "task")
FORMS = ("messages", "alpaca", "sharegpt", "prompt-completion")

_SHAPES = (
    ("messages", {"messages"}),
    ("sharegpt", {"conversations"}),
    ("prompt_completion", {"prompt", "completion"}),
    ("alpaca", {"instruction", "output"}),
    ("alpaca", {"input", "output"}),
    ("question_answer", {"question", "answer"}),
    ("query_response", {"query", "response"}),
)
_PREFERENCE = {"chosen", "rejected"}
_SHAPES_OF_KTO = ("messages", "sharegpt", "prompt_completion")


class Chat(NamedTuple):
    """A record as a canonical chat.

    `roles` has a letter a turn: s system, u user, a assistant, c assistant's tool call, t tool result. `flags` says
    what a reader should know: `list` (the first of several outputs was taken), `no_instruction`, `media` (marked as
    <image>, <audio>, <video>), `left:KEY` (turns hold KEY, which is not kept).
    """

    shape: str
    chat: str
    prompt: str
    response: str
    roles: str
    flags: tuple[str, ...] = ()


def to_chat(record: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> Chat:
    """Turn a record into a canonical chat.

    `columns` says which column holds which canonical name (`{"instruction": "q", "output": "a"}`); a record that has
    one of these columns is read by them, and its shape is `mapped`.

    Raises ShapeError for a record that is no SFT example, with a reason that names the column at fault, and UsageError
    for an unknown canonical name.
    """
    for name in columns or ():
        if name not in CANONICAL:
            raise unknown_name("--map name", name, CANONICAL)
    renamed = _rename(record, columns) if columns else None
    record = renamed or record
    shape = _recognise(record, mapped=renamed is not None)
    flags: list[str] = []
    messages = _conversation(record, shape, flags)
    if system := _string(record, "system"):
        messages.insert(0, {"role": "system", "content": system})
    _mark_media(record, messages, flags)
    chat: dict[str, Any] = {"messages": messages}
    if tools := json_list(record.get("tools"), "tools"):
        chat["tools"] = tools
    return Chat("mapped" if renamed else shape, _dumps(chat), *_texts(messages), tuple(dict.fromkeys(flags)))


def _rename(record: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any] | None:
    """Give the mapped columns their canonical names; None when the record has none of them."""
    wanted = {name: column for name, column in columns.items() if name != "task"}
    found = {name: record[column] for name, column in wanted.items() if record.get(column) is not None}
    if not found:
        return None
    renamed = {column: value for column, value in record.items() if column not in wanted.values()} | found
    if "prompt" in found and "output" in found:  # the canonical name of an answer is output
        renamed["completion"] = renamed.pop("output")
    return renamed


def _recognise(record: Mapping[str, Any], mapped: bool) -> str:
    filled = {key for key, value in record.items() if value is not None}
    if not mapped and not filled.isdisjoint(_PREFERENCE):
        raise ShapeError("a preference pair (chosen, rejected), not an SFT row")
    shape = next((name for name, keys in _SHAPES if keys <= filled), None)
    if shape is None:  # a column that is there but null: let the reader of its shape name it
        shape = next((name for name, keys in _SHAPES if keys <= record.keys()), None)
    if shape is None:
        raise _unknown_shape(record)
    if not mapped and isinstance(record.get("label"), bool) and shape in _SHAPES_OF_KTO:
        raise ShapeError("a KTO row (an answer and whether it is wanted: label), not an SFT row")
    return shape


def _unknown_shape(record: Mapping[str, Any]) -> ShapeError:
    if isinstance(record.get("text"), str):
        return ShapeError("a plain text document (text), not an SFT row: `curate tokens` is for those")
    names = [str(name)[:40] for name in record]
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return ShapeError(
        f"no known shape, its columns are: {shown or 'none'}. Name them with --map, as in --map instruction=q,output=a"
    )


def _conversation(record: Mapping[str, Any], shape: str, flags: list[str]) -> list[dict[str, Any]]:
    match shape:
        case "messages":
            return turns(record["messages"], "messages", flags)
        case "sharegpt":
            return turns(record["conversations"], "conversations", flags)
        case "prompt_completion":
            return _side(record, "prompt", "user", flags) + _side(record, "completion", "assistant", flags)
        case "alpaca":
            pair = _joined(record, flags), _answer(record, "output", flags)
        case "question_answer":
            pair = _string(record, "question", required=True), _answer(record, "answer", flags)
        case _:
            pair = _string(record, "query", required=True), _answer(record, "response", flags)
    return [*_history(record.get("history")), *_exchange(*pair)]


def _exchange(prompt: str, answer: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def _side(record: Mapping[str, Any], key: str, role: str, flags: list[str]) -> list[dict[str, Any]]:
    """One half of a prompt/completion row: a text or a list of turns."""
    if isinstance(record[key], list):
        return turns(record[key], key, flags)
    return [{"role": role, "content": _string(record, key, required=True)}]


def _joined(record: Mapping[str, Any], flags: list[str]) -> str:
    instruction, text = _string(record, "instruction"), _string(record, "input")
    if text.strip().lower() == "<noinput>":
        text = ""
    if not instruction.strip():
        flags.append("no_instruction")
    return f"{instruction}\n{text}" if instruction and text else instruction or text


def _answer(record: Mapping[str, Any], key: str, flags: list[str]) -> str:
    value = record[key]
    if not isinstance(value, list):
        return _string(record, key, required=True)
    if not value:
        raise ShapeError(f"{key} is an empty list")
    flags.append("list")
    return _string({f"{key}[0]": value[0]}, f"{key}[0]", required=True)


def _history(pairs: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for pair in pairs if isinstance(pairs, list) else [pairs] if pairs else []:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise ShapeError("history is not a list of pairs of texts")
        messages += _exchange(*pair)
    return messages


def _mark_media(record: Mapping[str, Any], messages: list[dict[str, Any]], flags: list[str]) -> None:
    """Mark the first user turn with the media that only a column beside the text (`images`) tells of."""
    for medium, marker in MARKERS.items():
        if not (record.get(medium) or record.get(medium + "s")):
            continue
        flags.append("media")
        users = [message for message in messages if message["role"] == "user"]
        if users and not any(marker in message["content"] for message in users):
            users[0]["content"] = f"{marker}\n{users[0]['content']}"


def _string(record: Mapping[str, Any], key: str, required: bool = False) -> str:
    value = record.get(key)
    if isinstance(value, str):
        return value
    if value is None and not required:
        return ""
    raise ShapeError(f"{key} is {kind(value)}, not text")


def _texts(messages: list[dict[str, Any]]) -> tuple[str, str, str]:
    """Return prompt, response and roles."""
    prompt, response, roles = [], [], []
    for message in messages:
        role, calls = message["role"], message.get("tool_calls", ())
        if role == "user":
            prompt.append(message["content"])
        elif role == "assistant":
            if message["content"] or not calls:
                response.append(message["content"])
            response += [_dumps(call.get("function", call) if isinstance(call, Mapping) else call) for call in calls]
        roles.append("c" if calls else role[0])
    return "\n\n".join(prompt), "\n\n".join(response), "".join(roles)


def _dumps(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:  # half a surrogate pair, an integer over 64 bits, nested over 254 deep
        raise ShapeError(f"cannot be written as JSON: {error}") from None


def from_chat(chat_json: str, form: str) -> dict[str, Any]:
    """Turn a canonical chat into a row of `form`: messages, alpaca, sharegpt or prompt-completion.

    The row, read by `to_chat`, gives the same canonical chat. Rows are those that TRL (messages; prompt and completion
    as lists of turns), LLaMA-Factory (alpaca with system and history; sharegpt with system and tools as JSON) and
    axolotl load.

    Raises ShapeError where the format cannot hold the chat, and UsageError for an unknown form.
    """
    if form not in FORMS:
        raise unknown_name("format", form, FORMS)
    chat = orjson.loads(chat_json)
    match form:
        case "messages":
            return dict(chat)
        case "alpaca":
            return _alpaca_row(chat)
        case "sharegpt":
            return _sharegpt_row(chat)
        case _:
            return _prompt_completion_row(chat)


def _alpaca_row(chat: dict[str, Any]) -> dict[str, Any]:
    system, messages = _split_system(chat["messages"])
    roles = [message["role"] for message in messages]
    if "tools" in chat or not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise ShapeError("alpaca holds pairs of a user's and an assistant's turn, and no tools")
    texts = [_plain(message, "alpaca") for message in messages]
    row: dict[str, Any] = {"instruction": texts[-2], "input": "", "output": texts[-1]}
    if system:
        row["system"] = system
    if texts[2:]:
        row["history"] = [list(pair) for pair in zip(texts[:-2:2], texts[1:-2:2], strict=True)]
    return row


def _sharegpt_row(chat: dict[str, Any]) -> dict[str, Any]:
    system, messages = _split_system(chat["messages"])
    row: dict[str, Any] = {"conversations": [_sharegpt_turn(message) for message in messages]}
    if system:
        row["system"] = system
    if "tools" in chat:
        row["tools"] = _dumps(chat["tools"])
    return row


def _sharegpt_turn(message: dict[str, Any]) -> dict[str, str]:
    if "tool_calls" not in message:
        names = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}
        return {"from": names[message["role"]], "value": _plain(message, "sharegpt")}
    calls = message["tool_calls"]
    if message["content"] or "name" in message or "tool_call_id" in message or not all(map(_is_bare, calls)):
        raise ShapeError("sharegpt holds function calls only without an id and without a text beside them")
    functions = [call["function"] for call in calls]
    return {"from": "function_call", "value": _dumps(functions[0] if len(functions) == 1 else functions)}


def _is_bare(call: Any) -> bool:
    """Whether `call` is just what a function call in ShareGPT is read as."""
    if not isinstance(call, dict) or call.keys() != {"type", "function"} or call["type"] != "function":
        return False
    return isinstance(call["function"], dict) and isinstance(call["function"].get("name"), str)


def _prompt_completion_row(chat: dict[str, Any]) -> dict[str, Any]:
    *prompt, last = chat["messages"]
    if not prompt or last["role"] != "assistant":
        raise ShapeError("prompt-completion holds a chat of two turns or more that ends with the assistant's")
    row: dict[str, Any] = {"prompt": prompt, "completion": [last]}
    return row | {"tools": chat["tools"]} if "tools" in chat else row


def _split_system(messages: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Split off the system prompt that a column can hold: the first turn, where it is a text and nothing else."""
    first, rest = messages[0], messages[1:]
    if rest and first["role"] == "system" and first["content"] and len(first) == 2:
        return first["content"], rest
    return "", messages


def _plain(message: dict[str, Any], form: str) -> str:
    if beside := message.keys() - {"role", "content"}:
        raise ShapeError(f"{form} cannot hold {', '.join(sorted(beside))} of a turn")
    content: str = message["content"]
    return content
