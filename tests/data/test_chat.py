"""Records of every shape to canonical chats, and back to rows."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.data.chat import FORMS, ShapeError, from_chat, to_chat
from curate.errors import UsageError

PAIR = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def messages(record: dict[str, Any], columns: dict[str, str] | None = None) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = json.loads(to_chat(record, columns).chat)["messages"]
    return turns


@pytest.mark.parametrize(
    ("shape", "record"),
    [
        ("alpaca", {"instruction": "q", "input": "", "output": "a"}),
        ("alpaca", {"instruction": "q", "output": "a"}),
        ("alpaca", {"instruction": "q", "input": None, "output": "a", "system": None, "history": None}),
        ("alpaca", {"instruction": "q", "input": " <NoInput>\n", "output": "a"}),
        ("alpaca", {"instruction": "q", "input": "", "output": "a", "history": [], "system": ""}),
        ("alpaca", {"input": "q", "output": "a"}),
        ("alpaca", {"input": "q", "output": ["a", "b"]}),
        ("sharegpt", {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}),
        ("sharegpt", {"conversations": [{"from": "user", "value": "q"}, {"from": "chatgpt", "value": "a"}]}),
        ("sharegpt", {"conversations": [{"from": "Human", "value": "q"}, {"from": "bard", "value": "a"}]}),
        ("sharegpt", {"conversations": PAIR, "tools": "", "system": ""}),
        ("sharegpt", {"conversations": PAIR, "tools": "[]", "id": 7}),
        ("messages", {"messages": PAIR}),
        ("messages", {"messages": PAIR, "prompt": "q", "label": "good", "tools": []}),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, PAIR[1]]}),
        ("messages", {"messages": [PAIR[0], {"role": "assistant", "content": [{"type": "text", "value": "a"}]}]}),
        ("prompt_completion", {"prompt": "q", "completion": "a"}),
        ("prompt_completion", {"prompt": PAIR[:1], "completion": PAIR[1:]}),
        ("prompt_completion", {"prompt": "q", "completion": PAIR[1:]}),
        ("question_answer", {"question": "q", "answer": "a"}),
        ("query_response", {"query": "q", "response": "a"}),
    ],
)
def test_every_shape_gives_the_same_chat(shape, record):
    """The same exchange has one canonical chat, whatever shape it comes in."""
    chat = to_chat(record)
    assert chat.shape == shape
    assert chat.chat == '{"messages":[{"content":"q","role":"user"},{"content":"a","role":"assistant"}]}'
    assert (chat.prompt, chat.response, chat.roles) == ("q", "a", "ua")


def test_alpaca_joins_instruction_and_input_by_a_line_break():
    """Instruction and input become one user turn, as LLaMA-Factory joins them."""
    assert to_chat({"instruction": "Add.", "input": "1, 2", "output": "3"}).prompt == "Add.\n1, 2"


def test_alpaca_history_and_system_come_first():
    """History pairs are earlier turns, the system prompt is the first one, and prompt and response hold all turns."""
    chat = to_chat({"instruction": "c", "output": "d", "system": "s", "history": [["a", "b"]]})
    assert (chat.roles, chat.prompt, chat.response) == ("suaua", "a\n\nc", "b\n\nd")


def test_canonical_json_is_sorted_compact_and_keeps_other_scripts():
    """Keys are sorted at every level, there is no white space, and non-ASCII text stays as it is."""
    tool = {"name": "f", "parameters": {"b": 1, "a": None}}
    chat = to_chat({"messages": [{"role": "user", "content": "你好"}, PAIR[1]], "tools": [tool]}).chat
    assert chat == (
        '{"messages":[{"content":"你好","role":"user"},{"content":"a","role":"assistant"}],'
        '"tools":[{"name":"f","parameters":{"a":null,"b":1}}]}'
    )


def test_sharegpt_function_calls_are_tool_calls():
    """A function call is an assistant's turn with tool calls, an observation a tool's, and tools may be JSON text."""
    call = {"name": "area", "arguments": {"r": 2}}
    chat = to_chat(
        {
            "conversations": [
                {"from": "human", "value": "Area?"},
                {"from": "function_call", "value": json.dumps(call)},
                {"from": "observation", "value": "12.57"},
                {"from": "gpt", "value": "It is 12.57."},
            ],
            "tools": json.dumps([{"name": "area"}]),
        }
    )
    assert chat.roles == "ucta"
    assert chat.response == '{"arguments":{"r":2},"name":"area"}\n\nIt is 12.57.'
    assert json.loads(chat.chat)["tools"] == [{"name": "area"}]
    assert json.loads(chat.chat)["messages"][1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": call}],
    }


def test_tool_calls_of_messages_are_kept_as_they_are():
    """Ids, names and arguments of tool calls stay; a null content beside them is an empty one."""
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]
    result = {"role": "tool", "content": "1", "tool_call_id": "c1", "name": "f"}
    turns = [PAIR[0], {"role": "assistant", "content": None, "tool_calls": calls}, result, PAIR[1]]
    assert messages({"messages": turns}) == [turns[0], turns[1] | {"content": ""}, result, PAIR[1]]
    assert to_chat({"messages": turns}).roles == "ucta"


def test_the_old_function_call_of_messages_is_a_tool_call():
    """OpenAI's older `function_call` beside a null content is read as a tool call."""
    call = {"name": "f", "arguments": "{}"}
    assert messages({"messages": [PAIR[0], {"role": "assistant", "content": None, "function_call": call}]})[1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": call}],
    }


@pytest.mark.parametrize(
    ("record", "flag"),
    [
        ({"input": "q", "output": ["a", "b"], "instruction": "i"}, "list"),
        ({"input": "q", "output": "a"}, "no_instruction"),
        ({"messages": [PAIR[0] | {"loss_weight": 0.0}, PAIR[1]]}, "left:loss_weight"),
        ({"messages": [PAIR[0] | {"tool_calls": [{"id": 1}]}, PAIR[1]]}, "left:tool_calls"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, PAIR[1]]}, "media"),
    ],
)
def test_what_a_reader_should_know_is_flagged(record, flag):
    """What is taken, lacking or left out is flagged, once for a record."""
    assert to_chat(record).flags == (flag,)


def test_media_parts_leave_a_marker():
    """An image among text parts is marked at its place, not dropped."""
    parts = [{"type": "text", "text": "What is "}, {"type": "image", "image": "x.png"}, {"type": "text", "text": "?"}]
    assert messages({"messages": [{"role": "user", "content": parts}, PAIR[1]]})[0]["content"] == "What is <image>?"


def test_media_columns_leave_a_marker_where_the_text_has_none():
    """Media that stand beside the text are marked in the first user turn; a text with the marker stays as it is."""
    assert to_chat({"messages": PAIR, "images": ["a.png"]}).prompt == "<image>\nq"
    assert to_chat({"messages": PAIR, "audio": "a.wav"}).prompt == "<audio>\nq"
    assert to_chat({"instruction": "See <image>.", "output": "a", "images": ["a.png"]}).prompt == "See <image>."
    assert to_chat({"messages": PAIR, "images": []}).flags == ()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"conversations": PAIR[:1], "chosen": PAIR[1], "rejected": PAIR[1]}, "preference pair"),
        ({"prompt": "q", "completion": "a", "rejected": "b"}, "preference pair"),
        ({"messages": PAIR, "label": True}, "KTO"),
        ({"prompt": "q", "completion": "a", "label": False}, "KTO"),
        ({"text": "Once upon a time", "url": "x"}, "curate tokens"),
        ({"one": 1, "two": 2}, "columns are: one, two. Name them with --map"),
        ({}, "columns are: none"),
        ({f"c{i}": 0 for i in range(20)}, "c11 and 8 more"),
        ({"instruction": "q"}, "columns are: instruction"),
        ({"instruction": "q", "output": None}, "output is null"),
        ({"instruction": None, "input": None, "output": None}, "output is null"),
        ({"instruction": "q", "output": float("nan")}, "output is the number nan"),
        ({"instruction": "q", "output": 5}, "output is the number 5"),
        ({"instruction": "q", "output": True}, "output is a boolean"),
        ({"instruction": "q", "output": {"text": "a"}}, "output is an object"),
        ({"instruction": "q", "output": []}, "output is an empty list"),
        ({"instruction": "q", "output": [1]}, r"output\[0\] is the number 1"),
        ({"instruction": ["q"], "output": "a"}, "instruction is a list"),
        ({"instruction": "q", "input": 3, "output": "a"}, "input is the number 3"),
        ({"instruction": b"q", "output": "a"}, "instruction is a bytes"),
        ({"question": "q", "answer": None}, "answer is null"),
        ({"instruction": "q", "output": "a", "system": 1}, "system is the number 1"),
        ({"instruction": "q", "output": "a", "history": ["b"]}, "history is not a list of pairs"),
        ({"messages": []}, "messages is an empty list"),
        ({"messages": "hello"}, "messages is a text"),
        ({"messages": [PAIR[0], None]}, r"messages\[1\] is null"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, r"messages\[0\].role is 'narrator'"),
        ({"messages": [{"content": "x"}]}, r"messages\[0\].from is null"),
        ({"messages": [{"role": "user", "content": None}]}, r"messages\[0\].content is null"),
        ({"messages": [{"role": "user", "content": 4}]}, r"messages\[0\].content is the number 4"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "unknown type 'smell'"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, r"content\[0\].text is null"),
        ({"messages": [{"role": "user", "content": [3]}]}, r"content\[0\] is the number 3"),
        ({"conversations": [{"from": "human", "value": 1}]}, r"conversations\[0\].value is the number 1"),
        ({"conversations": [{"from": "function_call", "value": "f(x)"}]}, r"conversations\[0\].value is not JSON"),
        ({"conversations": [{"from": "function_call", "value": "{}"}]}, "not a function call with a name"),
        ({"messages": PAIR, "tools": "{"}, "tools is not JSON"),
        ({"messages": PAIR, "tools": "5"}, "tools is the number 5"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "cannot be written as JSON"),
        ({"messages": PAIR, "tools": [2**70]}, "cannot be written as JSON"),
    ],
)
def test_what_is_no_sft_row_is_refused_with_a_reason(record, reason):
    """A record that is no SFT example raises ShapeError, and the reason names the column at fault."""
    with pytest.raises(ShapeError, match=reason):
        to_chat(record)


def test_deep_nesting_is_refused():
    """A record nested too deeply for JSON writers is refused, whatever the stack of the caller."""
    tools: list[Any] = []
    for _ in range(400):
        tools = [tools]
    with pytest.raises(ShapeError, match="Recursion limit"):
        to_chat({"messages": PAIR, "tools": tools})


@pytest.mark.parametrize(
    ("columns", "record"),
    [
        ({"instruction": "ask", "output": "reply"}, {"ask": "q", "reply": "a"}),
        ({"prompt": "ask", "output": "reply"}, {"ask": "q", "reply": "a"}),
        ({"prompt": "ask", "output": "reply"}, {"ask": PAIR[:1], "reply": PAIR[1:]}),
        ({"input": "context", "output": "reply"}, {"instruction": "q", "context": "", "reply": "a"}),
        ({"output": "better"}, {"instruction": "q", "output": "worse", "better": "a"}),
        ({"output": "chosen"}, {"instruction": "q", "chosen": "a", "rejected": "b"}),
        ({"messages": "dialog"}, {"dialog": PAIR}),
        ({"messages": "dialog"}, {"dialog": PAIR, "label": True}),
        ({"tools": "functions"}, {"conversations": PAIR, "functions": "[]"}),
    ],
)
def test_columns_are_mapped(columns, record):
    """Mapped columns take their canonical names; what is not mapped is looked for under its own."""
    assert to_chat(record, columns).shape == "mapped"
    assert messages(record, columns) == PAIR


def test_a_record_without_the_mapped_columns_is_recognised_as_ever():
    """A mapping does not get in the way of records that have none of its columns; a task is no mapping."""
    assert to_chat({"messages": PAIR}, {"instruction": "ask", "output": "reply"}).shape == "messages"
    assert to_chat({"messages": PAIR, "kind": "x"}, {"task": "kind"}).shape == "messages"


def test_an_unknown_canonical_name_is_refused():
    """A mapping to a name that we do not know is a wrong use, and the nearest known name is offered."""
    with pytest.raises(UsageError, match="unknown --map name 'instrction'") as caught:
        to_chat({"q": "x"}, {"instrction": "q"})
    assert "Did you mean instruction?" in caught.value.hint


TEXT = st.text(max_size=6)
NAMES = st.sampled_from(["f", "g"])
ARGUMENTS = st.dictionaries(TEXT, st.integers(-9, 9) | TEXT | st.none(), max_size=2)
CALLS = st.lists(
    st.builds(
        lambda name, arguments, extra: {"type": "function", "function": {"name": name, "arguments": arguments}} | extra,
        NAMES,
        ARGUMENTS | TEXT,
        st.just({}) | st.just({"id": "c1"}),
    ),
    min_size=1,
    max_size=2,
)
TURNS = st.one_of(
    st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "user", "tool"]), TEXT),
    st.builds(lambda text: {"role": "assistant", "content": text}, TEXT),
    st.builds(lambda text, calls: {"role": "assistant", "content": text, "tool_calls": calls}, TEXT, CALLS),
    st.builds(lambda text: {"role": "tool", "content": text, "name": "f", "tool_call_id": "c1"}, TEXT),
)
EXCHANGES = st.builds(
    lambda system, pairs: system + [turn for pair in pairs for turn in pair],
    st.lists(st.builds(lambda text: {"role": "system", "content": text}, TEXT), max_size=1),
    st.lists(
        st.builds(lambda q, a: [{"role": "user", "content": q}, {"role": "assistant", "content": a}], TEXT, TEXT),
        min_size=1,
        max_size=3,
    ),
)
CHATS = st.builds(
    lambda turns, tools: {"messages": turns} | ({"tools": tools} if tools else {}),
    EXCHANGES | st.lists(TURNS, min_size=1, max_size=5),
    st.lists(st.builds(lambda name: {"name": name, "parameters": {}}, NAMES), max_size=2),
)


@settings(deadline=None, max_examples=300)
@given(CHATS, st.sampled_from(FORMS))
def test_a_row_written_and_read_is_the_same_chat(chat, form):
    """For every format that can hold a chat, its row is read as that chat."""
    canonical = to_chat(chat)
    try:
        row = from_chat(canonical.chat, form)
    except ShapeError:
        return
    again = to_chat(orjson.loads(orjson.dumps(row)))
    assert again.chat == canonical.chat
    assert again.roles == canonical.roles


@settings(deadline=None, max_examples=50)
@given(EXCHANGES, st.sampled_from(FORMS))
def test_plain_exchanges_fit_every_format(turns, form):
    """Alternating turns of texts, with a system prompt or without, fit every format (an empty one fits not alpaca)."""
    if turns[0]["role"] == "system" and not turns[0]["content"]:
        turns = turns[1:]
    canonical = to_chat({"messages": turns}).chat
    assert to_chat(from_chat(canonical, form)).chat == canonical


@pytest.mark.parametrize(
    ("form", "row"),
    [
        ("messages", {"messages": [{"role": "system", "content": "s"}, *PAIR]}),
        ("alpaca", {"instruction": "q", "input": "", "output": "a", "system": "s"}),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"},
        ),
        ("prompt-completion", {"prompt": [{"role": "system", "content": "s"}, PAIR[0]], "completion": [PAIR[1]]}),
    ],
)
def test_rows_are_those_that_trainers_load(form, row):
    """Each format has exactly the keys that its trainer reads."""
    chat = to_chat({"messages": PAIR, "system": "s"}).chat
    assert from_chat(chat, form) == row


@pytest.mark.parametrize(
    ("form", "chat"),
    [
        ("alpaca", {"messages": PAIR, "tools": [{"name": "f"}]}),
        ("alpaca", {"messages": PAIR[:1]}),
        ("alpaca", {"messages": [*PAIR, PAIR[1]]}),
        ("alpaca", {"messages": [{"role": "system", "content": "s"}]}),
        ("alpaca", {"messages": [PAIR[0] | {"name": "Ann"}, PAIR[1]]}),
        ("sharegpt", {"messages": [PAIR[0], {"role": "tool", "content": "1", "tool_call_id": "c"}]}),
        ("sharegpt", {"messages": [PAIR[1] | {"tool_calls": [{"type": "function", "function": {"name": "f"}}]}]}),
        ("prompt-completion", {"messages": PAIR[:1]}),
        ("prompt-completion", {"messages": PAIR[1:]}),
    ],
)
def test_what_a_format_cannot_hold_is_refused(form, chat):
    """A chat that a format cannot hold raises ShapeError; nothing is left out to make it fit."""
    with pytest.raises(ShapeError):
        from_chat(to_chat(chat).chat, form)


def test_an_unknown_format_is_refused():
    """A format that we do not know is a wrong use, and the known ones are named."""
    with pytest.raises(UsageError, match="unknown format 'sharegtp'"):
        from_chat(to_chat({"messages": PAIR}).chat, "sharegtp")
