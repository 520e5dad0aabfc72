"""Write chats as the model will see them in training, with the chat template that lies beside its tokenizer.

The template is rendered by transformers, in its sandbox. Where a tokenizer has none (tiktoken's encodings, a lone file)
there is nothing to render: `find_template` returns None and the caller counts the bare text, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from curate.errors import CurateError

_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class ChatTemplate:
    """A template by name ("default", perhaps "tool_use") and the special tokens that it may write."""

    texts: dict[str, str]
    tokens: dict[str, str]


def find_template(folder: Path | None) -> ChatTemplate | None:
    """Return the chat template of a tokenizer's folder (chat_template.jinja or tokenizer_config.json), if any.

    Raises CurateError when a file is there and cannot be read.
    """
    if folder is None:
        return None
    config: dict[str, Any] = {}
    texts: dict[str, str] = {}
    path = folder / "tokenizer_config.json"
    try:
        if path.is_file():
            config = orjson.loads(path.read_bytes())
            found = config.get("chat_template") or {}
            texts = (
                {"default": found} if isinstance(found, str) else {entry["name"]: entry["template"] for entry in found}
            )
        tokens = {name: _content(config[name]) for name in _TOKENS if config.get(name)}
        path = folder / "chat_template.jinja"
        if path.is_file():  # transformers gives it precedence too
            texts["default"] = path.read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CurateError(f"cannot read {path}: {error}", "Mend the file, or give the tokenizer.json alone.") from None
    return ChatTemplate(texts, tokens) if "default" in texts else None


def render(template: ChatTemplate, chats: pl.Series) -> pl.Series:
    """Return each chat (JSON with `messages` and perhaps `tools`) as text; null where the template refuses it."""
    return pl.Series(chats.name, [chat and _render(template, orjson.loads(chat)) for chat in chats], dtype=pl.String)


def _render(template: ChatTemplate, chat: dict[str, Any]) -> str | None:
    from jinja2 import TemplateError
    from transformers.utils import chat_template_utils

    tools = chat.get("tools")
    text = template.texts["default"]
    if tools:
        text = template.texts.get("tool_use", text)
    renderer: Any = chat_template_utils.render_jinja_template  # its annotations are wrong
    try:
        rendered, _ = renderer([chat["messages"]], tools=tools, chat_template=text, **template.tokens)
    except (TemplateError, TypeError, ValueError, KeyError):  # what a template raises for a chat it is not made for
        return None
    return str(rendered[0])


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)
