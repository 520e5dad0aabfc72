"""Find in a prompt the image, sound or file that it needs and does not have.

A text-only record that asks about a picture teaches a model to invent what it shows. Every form here was read in
Alpaca, where models wrote "[Image of a flag]" as the input; a description without a frame ("Photo of two zebras
crossing a savannah") is an input like another and does not count.
"""

from __future__ import annotations

import re

import polars as pl

from curate.data.lexicon import without_code
from curate.sft.filters.text import first, mentions

_MEDIUM = (
    r"(?:image|picture|photo(?:graph)?|painting|drawing|sketch|artwork|illustration|cartoon|comic(?: strip)?"
    r"|screenshot|figure|diagram|graph|chart|map|video|audio|sound|song|logo|flag)s?"
)
_FILE = r"(?:file|document|pdf|spreadsheet|attachment|article|passage|dataset|data table|report)s?"
_VERB = r"(?:insert|attach(?:ed)?|include(?:d)?|upload(?:ed)?|paste|add|see|link to|url of)"

# Without one of these there is nothing to find.
_PLACEHOLDER = r"(?m)[\[(<（【][^\n]*[\])>）】]\s*$"
_MEDIA_WORDS = (
    "image|picture|photo|painting|drawing|sketch|artwork|illustration|cartoon|comic|screenshot|figure|diagram|graph"
    "|chart|map|video|audio|sound|song|logo|flag"
)
_FILE_WORDS = "file|document|pdf|spreadsheet|article|passage|dataset|data table|report|insert|attach|paste|upload"
_OTHER_WORDS = "![|<image|<video|<audio|attached|enclosed|accompanying|uploaded|http|<img|图|照片|附件|画作|视频|音频"

_FORMS = [
    re.compile(form, re.I | re.M)
    for form in (
        # A Markdown image, or an HTML image that ends the prompt.
        r"!\[[^\[\]\n]*\](?:\([^)\s]+\s*\"?|\[)|^\s*<img\s[^>\n]*>\s*\Z",
        # The marker of a model or of the reader.
        r"^\s*<\|?(?:image|video|audio)(?:_?(?:\d+|pad|placeholder|start|here))?\|?>|<(?:image|video|audio)>\s*$",
        # A placeholder that ends a line: [Image of a bridge], <Link to article>, Sketch: [image]
        rf"^[^\n]{{0,20}}?[\[(<]\s*(?:{_VERB}\s+)?(?:(?:an?|the|your)\s+)?(?:\w+\s+)?(?:{_MEDIUM}|{_FILE})\b"
        r"[^\])>}\n=]{0,80}[\])>]\s*$",
        # A placeholder that ends the prompt: [insert poem]
        rf"^[^\n]{{0,20}}[\[(<]\s*{_VERB}\s[^\])>\n=]{{1,60}}[\])>]\s*\Z",
        # Words: the attached photo; a picture is attached
        rf"\b(?:attached|enclosed|accompanying|uploaded)\s+{_MEDIUM}\b|\b{_MEDIUM}\s+(?:is\s+|are\s+)?attached\b",
        # One sentence and no input: Generate a funny caption for the following photo.
        r"\A(?:\w+[ ,]+){1,12}?(?:the|this|these|following|given|provided|above|below)\s+(?:image|picture"
        r"|photo(?:graph)?|painting|drawing|screenshot|cartoon|comic strip|video|audio clip)s?(?:\s+(?:below|above))?"
        r"\s*[.?!:]?\s*\Z",
        # A link to a media file that ends the prompt.
        r"https?://\S+\.(?:jpe?g|png|gif|webp|bmp|svg|mp4|mp3|wav|pdf)\b[^\s\])>]*[\])>\"]*\s*\Z",
        # The same in Chinese: （一家杂货店的照片）; 为下面的照片生成一个有趣的标题。; 如图所示
        r"^[^\n]{0,20}[\[（(<【][^\]）)>】\n]{0,30}(?:图[片像]|照片|画作|附件|图表|视频|音频|截图)(?:\d{1,2})?[\]）)>】]\s*$",
        r"\A[^\n]{0,40}(?:下面|以下|上面|这张|给定|提供)的?(?:图[片像]|照片|画作|截图|视频)[^\n]{0,15}\Z",
        r"如[下上]?图(?:所示|[，,：:]|中)|(?:图[片像]|照片)如[下上]|附件[中里]的(?:图|照片|文件|文档|表)|^附上?(?:图片|照片)\s*$",
    )
]
# Markup that has such elements of its own, and mails that have attachments.
_NOT_ASKED = re.compile(
    r"</(?:image|video|audio|html|body|svg|file|document|article)>"
    r"|\b(?:write|draft|compose)\b.{0,40}\b(?:e-?mail|letter)|邮件|写一?封",
    re.I,
)

_END = 10_000  # characters at either end of a long prompt that are looked at


def may_need(prompt: pl.Expr) -> pl.Expr:
    """Return the expression of whether `prompt` is worth a closer look."""
    placeholder = prompt.str.contains(_PLACEHOLDER) & mentions(prompt, f"{_MEDIA_WORDS}|{_FILE_WORDS}")
    token = prompt.str.contains("<|", literal=True)
    return placeholder | token | mentions(prompt, _OTHER_WORDS) | mentions(prompt.str.slice(-20), _MEDIA_WORDS)


def needed(prompt: str) -> str | None:
    """Return the words that name what is missing, or None."""
    if len(prompt) > 2 * _END:
        prompt = f"{prompt[:_END]}\n{prompt[-_END:]}"
    text = without_code(prompt)
    if _NOT_ASKED.search(text):
        return None
    return next((found for form in _FORMS if (found := first(form, text))), None)
