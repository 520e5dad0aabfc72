"""LIMA's rules for forum answers in Chinese: length in Chinese characters, first person, references.

The paper has no Chinese; the lists and the window are ours, made to mean the same. They are guarded against other
words (自我, 我国, 基本人权, 阁楼上, 粘贴吧, 问题主要, 底层主机, 利益相关者), 在下 is left out (在下雨, 在下面), and
traditional characters count as simplified ones. As with `lima`, a run reports these rules and drops by them only when
asked: `--filters lima-zh`.

Thirty hits were read in Alpaca's Chinese translation. First person: 28 right of 1,095, two where the translator put 我
for a variable i and for "me" in a leaked instruction; another 72 rows hold 我 in quotation marks only and are kept.
References: none right of 4 (点赞 as what readers of an advertisement do, 楼上 as a floor).
"""

from __future__ import annotations

import polars as pl

from curate.data.lexicon import ZH_FIRST, ZH_REF
from curate.sft.filters import MEASURE, Rule
from curate.sft.filters.text import free_of, in_prose, is_chinese, mentions, spans, within

_RESPONSE = pl.col("response")


def length(least: int = 500, most: int = 2000) -> Rule:
    """Kept when: the answer has 500 to 2,000 Chinese characters, or is not in Chinese.

    Our choice: LIMA's 1,200 to 4,096 English characters are 300 to 1,000 tokens, and a Chinese character is 0.6 to 1.
    An answer is Chinese where over a third of its characters are.
    """
    rule = within(MEASURE, least, most, "Chinese characters")
    size = pl.when(is_chinese(_RESPONSE)).then(_RESPONSE.str.count_matches(r"\p{Han}"))
    return Rule(rule.keep | (MEASURE.is_null() & _RESPONSE.is_not_null()), rule.evidence, size)


# Words without which a rule cannot fire, in both scripts.
_FIRST_WORDS = "我|本人|笔者|筆者|俺|咱|鄙人|个人|個人|亲测|親測"


def first_person() -> Rule:
    """Kept when: the answer's prose does not speak in the first person singular (我, 笔者, 本人, 个人认为, 亲测).

    我们 alone is not counted, for textbooks say it too.
    """
    return free_of(spans(mentions(_RESPONSE, _FIRST_WORDS), in_prose(ZH_FIRST), "response"), "response")


_REFERENCE_WORDS = (
    "所述|所说|所說|所説|提到|说的|說的|説的|楼|樓|层主|層主|题主|題主|答主|回答|答案|评论区|評論區|谢邀|謝邀|利益相|以上"
    "|知乎|百度知道|贴吧|貼吧|豆瓣|点赞|點贊|點讚|求赞|求贊|求讚|采纳|採納|采納|顶一下|頂一下|更新|编辑于|編輯於|本站|本帖|本贴|本貼"
)


def references() -> Rule:
    """Kept when: the answer's prose refers to no other answer, floor, user or site (楼上, 题主, 谢邀, 其他回答, 知乎).

    The list is meant for forum dumps, and has not been tried on a real one.
    """
    return free_of(spans(mentions(_RESPONSE, _REFERENCE_WORDS), in_prose(ZH_REF), "response"), "response")


FILTERS = (length, first_person, references)
