"""Hygiene: rows that no one would want to train on, whatever the source.

The rules are ours; where one follows a source, its docstring names it. Each was tuned by reading what it hits in
Alpaca (52,002 rows), its Chinese translation (20,277) and Super-NI (21,391): a rule here may miss rows, but what it
drops should be broken nine times in ten. Prompts are read for what they ask, answers for what they are; a system
prompt is not looked at.

Tried and left out: Gopher's thresholds for repeated lines and n-grams (arXiv 2112.11446, Table A1) are meant for web
pages, and drop songs for their chorus and forms for their options. "Ends without a full stop" drops lists, code,
verse and signatures: 205 of Alpaca's long answers, of which two are cut.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import polars as pl

from curate.sft.filters import Rule
from curate.sft.filters.attachments import may_need, needed
from curate.sft.filters.text import free_of, spans

_PROMPT, _RESPONSE, _CHAT = pl.col("prompt"), pl.col("response"), pl.col("chat")

_VISIBLE = r"[^\s\p{C}\p{Z}]"
# An empty turn in the canonical chat. The assistant's may be empty where it calls a tool.
_EMPTY_USER = r'"content":"(?:\s|\\[nrt])*",(?:"name":"[^"]*",)?"role":"user"'
_EMPTY_ASSISTANT = r'"content":"(?:\s|\\[nrt])*",(?:"name":"[^"]*",)?"role":"assistant"\}'
# Self-Instruct's words for "nothing here", and what its models made of them.
_NOTHING = r"(?i)^\s*(?:<|&lt;)\s*(?:no\s?(?:in|out)put\b|[无没有]+输[入出])"
_NO_ANSWER = r"(?i)^\s*(?:n/a\b[^\n]{0,60}|(?:no output|无需?输出|没有输出|不适用)\b[^\n]{0,60})\s*$"


def empty_prompt() -> Rule:
    """Kept when: every user turn holds something visible, and the prompt is not just "<noinput>"."""
    nothing = _PROMPT.str.contains(_NOTHING + r"\s*(?:>|&gt;)\s*$")
    keep = _PROMPT.str.contains(_VISIBLE) & ~nothing & ~_CHAT.str.contains(_EMPTY_USER)
    return Rule(keep, pl.lit("no text in a user turn"))


def empty_answer() -> Rule:
    """Kept when: every assistant turn has text or calls a tool, and the answer is no N/A and no "<nooutput>".

    An answer that begins with "<nooutput>" or "<noinput>" goes too: what follows is an excuse, or the marker leaked.
    "None", "NA" and "not found" are labels in Super-NI and are kept.
    """
    nothing = _RESPONSE.str.contains(_NOTHING) | _RESPONSE.str.contains(_NO_ANSWER)
    keep = _RESPONSE.str.contains(_VISIBLE) & ~nothing & ~_CHAT.str.contains(_EMPTY_ASSISTANT)
    return Rule(keep, pl.when(nothing).then(_RESPONSE).otherwise(pl.lit("no text in an assistant turn")))


def answer_is_prompt() -> Rule:
    """Kept when: the answer differs from the prompt in more than white space and Unicode normal form.

    Case and punctuation count: to restore them is a task.
    """
    begin = [text.str.strip_chars_start().str.slice(0, 8).str.normalize("NFC") for text in (_PROMPT, _RESPONSE)]
    echo = spans(begin[0].str.slice(0, 1) == begin[1].str.slice(0, 1), _echo, "prompt", "response")
    return Rule(echo.is_null() & _PROMPT.is_not_null() & _RESPONSE.is_not_null(), echo)


def _echo(prompt: str, answer: str) -> str | None:
    words, said = (unicodedata.normalize("NFC", text).split() for text in (prompt, answer))
    return answer if words == said else None


_TURNS = r"^s?(?:u(?:c+t+)*a)*u(?:c+t+)*(?:a|c+)$"


def roles_alternate() -> Rule:
    """Kept when: after an optional system turn, user and assistant take turns, and the assistant has the last one.

    In place of its turn the assistant may call tools and get their results first; a call may be its last turn. Chat
    templates and LLaMA-Factory's ShareGPT reader demand no less.
    """
    return Rule(pl.col("roles").str.contains(_TURNS), pl.col("roles"))


def control_characters() -> Rule:
    r"""Kept when: prompt and answer hold no control character but tab and line breaks.

    They come from backslash commands read as escapes (\frac as form feed + "rac"), binary data and wrong encodings.
    """
    return _both_free_of(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]")


# UTF-8 read as Windows-1252 or Latin-1: the first byte of a character becomes Ã, â or ä, a later one one of these.
_LATER = r"[\x{80}-\x{bf}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
_BROKEN = "|".join(
    (
        r"\x{fffd}",
        r"[ÂÃ][\x{80}-\x{a9}\x{ab}-\x{b9}\x{bc}-\x{bf}]",  # Latin letters, signs; »ª and º may follow a capital
        r"â€(?:[\x{80}-\x{bf}™˜œ“”•–—š›ž]|$)",  # typographic quotes, dashes, ellipsis
        rf"(?:[ÎÏÐÑ]{_LATER}){{3}}",  # Greek, Cyrillic
        rf"(?:[ã-é]{_LATER}{{2}}){{2}}",  # Chinese, Japanese, Korean
        r"ï»¿",  # the byte-order mark
        r"锟斤拷|烫{4}|屯{4}",  # U+FFFD read as GBK; memory as a debugger fills it
    )
)
_ABOUT_ENCODING = r"(?i)encod|utf-?8|unicode|mojibake|ascii|latin-?1|编码|乱码|字符集"


def broken_encoding() -> Rule:
    """Kept when: prompt and answer hold no U+FFFD and no UTF-8 read as another encoding, or are about encodings.

    Only sequences that no language writes count: "â€™" and "Ã©", but not "Ã" at the end of a word.
    """
    rule = _both_free_of(_BROKEN)
    return Rule(rule.keep | (_PROMPT.str.contains(_ABOUT_ENCODING) & _RESPONSE.is_not_null()), rule.evidence)


def _both_free_of(pattern: str) -> Rule:
    keep = ~_PROMPT.str.contains(pattern) & ~_RESPONSE.str.contains(pattern)
    around = rf"((?s:.{{0,30}}?)(?:{pattern})(?s:.{{0,30}}))"
    return Rule(keep, pl.coalesce(_PROMPT.str.extract(around), _RESPONSE.str.extract(around)))


_LONG = 500  # bytes of UTF-8; shorter answers meet no length limit. Our choice
_STOPS = r"(?:[\p{L},、-]|(?:^|\n)[ \t]*(?:\d{1,3}[.)]|[-*•]))\s*$"
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.M)
_ITEM = re.compile(r"[ \t]*(?:[-*•>|#]|\(?(?:\d{1,3}|[A-Za-z]|[一二三四五六七八九十]{1,3})[.)、:：。])\s*")
_SENTENCE_END = re.compile(r"[a-z]{2}[.!?][\"”’)]* +(?=[\"“‘(]?[A-Z])|[。！？][”」』）)]*(?=.)")
_FINISHED = re.compile(r"[.!?。！？:：;；…][\"”’'」』）)*_`]*$")


def cut_off() -> Rule:
    """Kept when: the answer does not stop in the middle of a sentence, a list or a code block.

    A code fence that is never closed always counts. In answers of 500 bytes and more these count too: an item of a list
    that is only its marker, a last word that ends in a hyphen, a Chinese enumeration comma at the end, and a last line
    of prose that holds a finished sentence and then stops at a word, where the other long lines are all finished.
    Our choice: Alpaca has two such answers ("such as the United Nations, NATO, and the G"); the 2,000 rows of
    LLaMA-Factory's demo data, generated under a length limit, have eight.
    """
    stops = (_RESPONSE.str.len_bytes() >= _LONG) & _RESPONSE.str.slice(-60).str.contains(_STOPS)
    return free_of(spans(stops | _RESPONSE.str.contains("```|~~~"), _cut, "response"), "response")


def _cut(answer: str) -> str | None:
    text = answer.rstrip()
    *lines, last = text.split("\n")
    if len(_FENCE.findall(text)) % 2:
        return text[-80:]
    if len(answer.encode()) < _LONG:
        return None
    cut = re.search(r"[A-Za-z]{2}-$|、$", last) or _is_bare_item(last.strip(), lines) or _is_half_sentence(last, lines)
    return text[-80:] if cut else None


def _is_bare_item(last: str, lines: list[str]) -> bool:
    """Whether the last line is nothing but the marker of the next item of a list."""
    number = re.fullmatch(r"(\d{1,3})([.)])", last)
    if not number and last not in ("-", "*", "•"):
        return False
    before = f"{int(number[1]) - 1}{number[2]}" if number else last
    return any(line.lstrip().startswith(before + " ") for line in lines)


def _is_half_sentence(last: str, lines: list[str]) -> bool:
    """Whether the last line is prose that stops in its second or later sentence, where other lines of prose do not."""
    if re.search(r"[#@|]|https?:", last) or not re.search(r"[^\W\d_][,，]?$", last):
        return False  # hashtags, tables and links end as they like
    finished, begun = bool(_SENTENCE_END.search(last)), _SENTENCE_END.split(_ITEM.sub("", last, count=1))[-1]
    if not finished or (len(begun.split()) < 3 and len(re.findall(r"[\u4e00-\u9fff]", begun)) < 4):
        return False
    return all(_FINISHED.search(line.rstrip()) for line in lines if len(line.encode()) >= 60)


_LOOP_CHARS, _LOOP_TIMES, _LOOP_SHARE = 100, 5, 0.5  # our choice
_SAID_AGAIN = 0.45  # our choice: a half, less what separates the halves
_SENTENCES = r"[^\n.!?。！？]{30,}"
_ANCHOR = 12  # characters
_LOOKED_AT = 100_000  # characters: a longer answer is judged by its beginning


def repetition() -> Rule:
    """Kept when: no loop fills half of the answer, and less than 45 % of it are sentences said again.

    A loop is a unit that holds a letter, back to back five times or more over at least 100 characters: rules of dashes,
    empty table cells and vectors are none. Sentences count from 30 characters on, but not their first time and not as
    items of a list: a plan may say the same for every day. Our choice: at Gopher's 20-30 % of duplicate lines (arXiv
    2112.11446, Table A1) a song would go for its chorus.
    """
    size = _RESPONSE.str.len_chars().cast(pl.Int64)
    anchors = [_RESPONSE.str.slice(size * part // 4, _ANCHOR) for part in (1, 2, 3)] + [_RESPONSE.str.slice(-_ANCHOR)]
    # A loop over half of the answer covers one of these places, so what stands there occurs again and again.
    loops = pl.any_horizontal(_RESPONSE.str.count_matches(anchor, literal=True) >= 4 for anchor in anchors)
    again = _RESPONSE.str.extract_all(_SENTENCES).map_batches(
        lambda said: said.list.n_unique() < said.list.len(), return_dtype=pl.Boolean, is_elementwise=True
    )
    return free_of(spans((size >= 60) & (loops | again), _repeats, "response"), "response")


def _repeats(answer: str) -> str | None:
    text = answer[:_LOOKED_AT]
    unit, times = _loop(text)
    if times:
        return f"{unit[:150]!r} {times} times"
    parts = [part.strip() for part in re.findall(_SENTENCES, text)]
    said = Counter(part for part in parts if _has_letter(part) and not _ITEM.match(part))
    if not said or sum(len(part) * (times - 1) for part, times in said.items()) < _SAID_AGAIN * len(text):
        return None
    unit, times = max(said.items(), key=lambda item: len(item[0]) * (item[1] - 1))
    return f"{unit[:150]!r} {times} times"


def _loop(text: str) -> tuple[str, int]:
    """Return the unit of a loop that fills half of `text` and how often it stands there, or ("", 0)."""
    size = len(text)
    for place in (size // 4, size // 2, size * 3 // 4, max(0, size - _ANCHOR)):
        anchor, begin = text[place : place + _ANCHOR], place
        for _ in range(8):  # the period is the distance to one of the next occurrences
            begin = text.find(anchor, begin + 1)
            if begin < 0:
                break
            period, left, right = begin - place, place, begin
            while left > 0 and text[left - 1] == text[left - 1 + period]:
                left -= 1
            while right < size and text[right] == text[right - period]:
                right += 1
            times, unit = (right - left) // period, text[left : left + period]
            filled = times * period
            if times >= _LOOP_TIMES and filled >= max(_LOOP_CHARS, _LOOP_SHARE * size) and _has_letter(unit):
                return unit, times
    return "", 0


def _has_letter(text: str) -> bool:
    return any(unicodedata.category(character)[0] in "LM" for character in text)


def missing_attachment() -> Rule:
    """Kept when: the prompt does not need an image, a sound or a file that is not there.

    Seen by its marker ("<image>", which the reader writes for media), a Markdown image, a placeholder that fills a line
    ("[Image of a flag]", "[insert poem]", （照片）), a link to a media file at the end, or words ("the attached photo",
    "Describe the following picture." and nothing after it, 如图所示).
    """
    return free_of(spans(may_need(_PROMPT), needed, "prompt"), "prompt")


FILTERS = (
    empty_prompt,
    empty_answer,
    answer_is_prompt,
    roles_alternate,
    control_characters,
    broken_encoding,
    cut_off,
    repetition,
    missing_attachment,
)
