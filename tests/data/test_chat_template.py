"""Chats are counted as the model will see them, with the chat template beside its tokenizer."""

from __future__ import annotations

import orjson
import polars as pl
import pytest
import tokenizers
from tokenizers import AddedToken, models, pre_tokenizers
from transformers import AutoTokenizer

from curate.data.chat_template import find_template, render
from curate.data.tokenizer import load
from curate.errors import CurateError, UsageError

TEMPLATE = (
    "{{ bos_token }}{% if messages[0].role == 'tool' %}{{ raise_exception('a tool cannot begin') }}{% endif %}"
    "{% for t in tools or [] %}{{ t.name }};{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
)
CHATS = [
    {"messages": [{"role": "user", "content": "hi <s>"}, {"role": "assistant", "content": "Hello, 世界!"}]},
    {"messages": [{"role": "user", "content": "x"}], "tools": [{"name": "search"}]},
    {"messages": [{"role": "tool", "content": "?"}]},
    {"messages": [{"role": "user"}]},
]


def column(chats):
    return pl.Series([chat and orjson.dumps(chat).decode() for chat in chats])


@pytest.fixture
def folder(tmp_path):
    """Return a folder as save_pretrained leaves it: bytes as vocabulary, three special tokens, a template."""
    alphabet = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = tokenizers.Tokenizer(models.BPE(alphabet, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken(token) for token in ("<s>", "<|im_start|>", "<|im_end|>")])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = {
        "bos_token": {"__type": "AddedToken", "content": "<s>", "special": True},
        "chat_template": TEMPLATE,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (tmp_path / "tokenizer_config.json").write_bytes(orjson.dumps(config))
    return tmp_path


def test_chats_count_as_transformers_counts_them(folder):
    """Rendered and counted, each chat has the tokens of apply_chat_template; a refused one has -1, a null none."""
    theirs = AutoTokenizer.from_pretrained(folder)
    expected = [
        len(theirs.apply_chat_template(chat["messages"], tools=chat.get("tools"), return_dict=False))
        for chat in CHATS[:2]
    ]
    ours = load(str(folder))
    assert ours.chat_template is not None
    assert ours.count_chat(column([*CHATS[:3], None])).tolist() == [*expected, -1, 0]
    assert ours.about["special_tokens"] is False
    assert ours.count(pl.Series(["<s>"])).tolist() == [3]


def test_a_template_in_its_own_file_comes_first(folder):
    """chat_template.jinja wins over tokenizer_config.json, as in transformers; a named tool template is used for it."""
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}|{% endfor %}")
    template = find_template(folder)
    assert render(template, column(CHATS[:1])).to_list() == ["hi <s>|Hello, 世界!|"]
    (folder / "chat_template.jinja").unlink()
    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "{{ tools | length }} tools"}]
    (folder / "tokenizer_config.json").write_bytes(orjson.dumps({"chat_template": named}))
    assert render(find_template(folder), column(CHATS[:2])).to_list() == ["plain", "1 tools"]


def test_without_a_template_there_is_nothing_to_count(tmp_path, folder):
    """No folder, no configuration or no template in it: none is found, and counting chats is refused with a hint."""
    assert find_template(None) is None
    (folder / "tokenizer_config.json").write_bytes(b"{}")
    assert find_template(folder) is None
    with pytest.raises(UsageError, match="has no chat template"):
        load(str(folder)).count_chat(column(CHATS))


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"chat_template": [{"name": "default"}]}', b'{"chat_template": 3}'])
def test_a_broken_configuration_is_an_error(tmp_path, content):
    """A tokenizer_config.json that cannot be read is reported by its path."""
    (tmp_path / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(CurateError, match=r"tokenizer_config\.json"):
        find_template(tmp_path)


def test_a_template_cannot_leave_its_sandbox(folder):
    """A hostile template reaches no attribute behind the data that it is given."""
    (folder / "chat_template.jinja").write_text("{{ messages.__class__.__mro__[1].__subclasses__() }}")
    assert render(find_template(folder), column(CHATS[:1])).to_list() == [None]
