"""Words by which a text shows that it was written for a forum: first person, and references to what stood around it.

LIMA (arXiv 2305.11206, section 2.1) drops answers "in the first person" and those that refer to other answers ("as
mentioned", "stack exchange", etc.); its lists are not published, so these are ours. They are searched in `prose` of
answers only: of LIMA's own 400 prompts from Stack Exchange more than half speak in the first person. Guards keep other
words out: "I/O", "Type I", "World War I", "My Documents", 自我, 我国, 基本人权, 问题主要.

The Chinese lists hold simplified characters; `simplified` changes the traditional ones that occur in them. One
character becomes one, so that a span found in the result is a span of the text.
"""

from __future__ import annotations

import re

# Each form ends at the next opening of its kind, so that no text takes more than linear time.
_CODE = re.compile(
    r"(?P<fence>```|~~~).*?(?:(?P=fence)|\Z)"  # a fence that is not closed runs to the end
    r"|`[^`\n]+`"
    r"|<(?P<tag>pre|code)\b[^<>]*>(?:(?!<(?:pre|code)\b).)*?</(?P=tag)>",
    re.S | re.I,
)
_NOT_PROSE = re.compile(
    r"^[ \t]*>[^\n]*$"  # block quotes
    r'|"[^"\n]{1,400}"|“[^“”]{1,400}”|‘[^‘’\n]{1,400}’|«[^«»]{1,400}»|「[^「」]{1,400}」|『[^『』]{1,400}』|《[^《》]{1,400}》'
    r"|(?:https?://|www\.)[^\s，。；、）】》]+"
    r"|\$\$[^$]+\$\$|\\\((?:(?!\\\().)+?\\\)|\\\[(?:(?!\\\[).)+?\\\]"
    r"|\$(?=\S)[^$\n]{1,200}(?<=\S)\$(?!\d)",  # not the two prices of "$5 or $6"
    re.M | re.S,
)


def without_code(text: str) -> str:
    """Replace fenced and inline code by a space, so that its neighbours do not grow together."""
    return _CODE.sub(" ", text)


def prose(text: str) -> str:
    """Replace code, quotations of up to 400 characters, URLs and LaTeX by a space: what the author says in prose."""
    return _NOT_PROSE.sub(" ", without_code(text))


# "World War I began" and "Article I of the Constitution" count one.
_ONE = (
    "Type", "Class", "Part", "War", "Phase", "Stage", "Level", "Grade", "Volume", "Chapter", "Section", "Article",
    "Title", "Act", "Group", "Population",
)  # fmt: skip
EN_FIRST = re.compile(
    r"(?<![\w/.+~&%'’-])"
    + "".join(rf"(?<!\b{word} )" for word in _ONE)
    + r"I(?:['’](?:m|ve|d|ll))?(?=[\s,;:)]+[a-z])(?!\s+(?:errors?|diabetes|diabetics?)\b)"
    r"|\b[Mm]y(?=\s+[a-z])|\bmyself\b|\b(?:IMO|IMHO|AFAIK|IIRC)\b"
)
EN_REF = re.compile(  # the look-ahead lets all but the beginnings of words go at once: a third of the time
    r"""
  \b(?=\w)(?:
    (?:as|like)\s+(?:(?:already|has\s+been|you)\s+)?(?:mentioned|noted|said|pointed\s+out|suggested|stated|explained)\b
  | (?:other|previous|above|accepted|existing|earlier|top|current)\s+answers?\b
  | (?:see|per|from|in)\s+the\s+comments?\b
  | \w+['’]s\s+(?:answer|comment|solution|suggestion|reply)\b   # Joe's answer
  | (?-i:OP)\b | original\s+poster\b | asker\b
  | stack\s?(?:exchange|overflow)\b
  | (?:up|down)-?vot(?:e[sd]?|ing)\b
  | this\s+(?:site|forum|thread)\b
  | duplicate\s+of\b
  )
| (?:^|\s)@\w+                                                  # @user
| ^(?:edit|update)\s?\d*:
""",
    re.X | re.I | re.M,
)

ZH_FIRST = re.compile(
    r"(?<![自忘无小大超本敌唯真])我(?![们国方军党校司院省市县区执])"
    r"|(?<![基日])本人|笔者|俺|咱|鄙人|个人(?:认为|觉得|观点|建议)|亲测|我们?(?:公司|团队)用"
)
ZH_REF = re.compile(
    r"""
  (?:如|正如|就像)(?:上|前|楼上|某位|@\S{1,12}?)(?:所述|所说|提到|说的)
| (?<!阁)楼上|楼主|(?<!底)层主(?![要机])|(?<!问)题主|答主
| 其他(?:回答|答案)|(?:上面|前面|下面|高赞|最高赞|已采纳)的?(?:回答|答案|答主)
| 评论区|谢邀|利益相关(?![者方])|以上(?:转自|来自)|知乎|百度知道|(?<!粘)贴吧|豆瓣|点赞|求赞|采纳(?:答案)?|顶一下
| 更新[:：]|编辑于|(?<![基日根一两几每])本[站帖楼贴]
""",
    re.X,
)

_TRADITIONAL = str.maketrans(
    "無敵們國軍黨縣區執筆個認為爲覺觀點議親測團隊樓層題機問評論謝關轉貼採納頂編輯於讚贊說説閣",
    "无敌们国军党县区执笔个认为为觉观点议亲测团队楼层题机问评论谢关转贴采纳顶编辑于赞赞说说阁",
)


def simplified(text: str) -> str:
    """Return `text` with the traditional characters of these lists and their guards made simplified, one for one."""
    return text.translate(_TRADITIONAL)
