"""Token counts of a pool: the template where there is one, all texts of a row where there is none."""

from __future__ import annotations

import orjson
import polars as pl
import pytest
import tokenizers
from tokenizers import AddedToken, models, pre_tokenizers

from curate.data import tokenizer
from curate.data.chat import to_chat
from curate.errors import CurateError
from curate.sft.tokens import count_tokens, load_tokenizer

TEMPLATE = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
)
TOOL = {"type": "function", "function": {"name": "search", "description": "find words"}}
RECORDS = [
    {"instruction": "Say hi.", "output": "Hi!"},
    {"instruction": "Say hi.", "output": "Hi!", "system": "Be brief."},
    {"messages": [{"role": "user", "content": "Say hi."}, {"role": "assistant", "content": "Hi!"}], "tools": [TOOL]},
]


def _bytes_tokenizer(folder, config):
    """Save a tokenizer with one token a byte, as save_pretrained leaves it."""
    alphabet = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = tokenizers.Tokenizer(models.BPE(alphabet, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens([AddedToken(token) for token in ("<|im_start|>", "<|im_end|>")])
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_bytes(orjson.dumps(config))
    return str(folder)


@pytest.fixture
def table():
    chats = [to_chat(record) for record in RECORDS]
    columns = {
        name: [*(getattr(chat, name) for chat in chats), None] for name in ("chat", "prompt", "response", "roles")
    }
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def test_all_texts_of_a_row_count(table, tmp_path):
    """Without a template the texts are added up: system prompt and tools too; an unreadable row has no count."""
    counter, notes = load_tokenizer(_bytes_tokenizer(tmp_path, {}), required=False)
    counted, about, _ = count_tokens(table, counter)
    plain = len("Say hi.") + len("Hi!")
    assert counted["n_tokens"].to_list() == [plain, plain + len("Be brief."), plain + len(orjson.dumps([TOOL])), None]
    assert about["chat_template"] is False
    assert notes == []


def test_a_chat_template_is_counted(table, tmp_path):
    """With a template its marks count, one token each; a row that it refuses is counted bare, and that is said."""
    counter, _ = load_tokenizer(_bytes_tokenizer(tmp_path, {"chat_template": TEMPLATE}), required=False)
    counted, about, notes = count_tokens(table, counter)
    rendered = 1 + len("user\nSay hi.") + 2 + 1 + len("assistant\nHi!") + 2
    bare = len("Say hi.") + len("Hi!") + len("Be brief.")
    assert counted["n_tokens"].to_list() == [rendered, bare, rendered, None]
    assert about["chat_template"] is True
    assert any("refuses 1 of 4 rows" in note for note in notes)


def test_the_first_rows_are_compared_with_the_reference(table):
    """A run says how many of its own texts were checked."""
    _, about, _ = count_tokens(table, tokenizer.load())
    assert about["verified"]["documents"] >= table["response"].drop_nulls().len()


def test_only_the_default_may_be_missing(monkeypatch):
    """Where the default's files are not installed counts are left out, said; a tokenizer somebody asked for is not."""

    def missing(name, **_):
        raise CurateError(f"{name} cannot be had", "Install it.")

    monkeypatch.setattr(tokenizer, "load", missing)
    counter, notes = load_tokenizer(tokenizer.DEFAULT, required=False)
    assert counter is None
    assert notes == [f"token counts are left out: {tokenizer.DEFAULT} cannot be had. Install it."]
    assert count_tokens(pl.DataFrame({"chat": ["x"]}), None)[0]["n_tokens"].to_list() == [None]
    for name, required in ((tokenizer.DEFAULT, True), ("cl100k_base", False)):
        with pytest.raises(CurateError, match="cannot be had"):
            load_tokenizer(name, required=required)
