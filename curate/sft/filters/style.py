"""Style: answers that would not read well on their own. LIMA's rules that hold for any source.

LIMA (arXiv 2305.11206, section 2.1) drops forum answers that refer to other answers, and strips links, images and
HTML. Its literal words misfire elsewhere: over Alpaca's 52,002 answers "@name" hits tweets and code, "Stack Overflow"
recommendations, "upvote" specifications, "the comments" advice to bloggers, and not one hit was right. So a phrase
counts here only where it speaks of another answer or of the place that the text was taken from; the full lists are
for forum dumps. The Chinese list is guarded against other words (问题主要, 底层主机, 利益相关者) for the same reason.
Refusals and "As an AI language model" are not LIMA's: they teach a model to refuse, and to be someone else's.

Only answers are read, without code and, where prose is meant, without quotations, links and LaTeX. A prompt that asks
for what a rule would drop (HTML, a URL, a chatbot's line) sets the rule aside.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl

from curate.data.lexicon import prose, without_code
from curate.sft.filters import Rule
from curate.sft.filters.text import first, free_of, mentions, spans

_RESPONSE = pl.col("response")
_HAS_TOOLS = pl.col("chat").str.contains('],"tools":[', literal=True)  # quotes inside a text are escaped

_SAID = r"(?:mentioned|noted|said|pointed\s+out|suggested|stated|explained|answered)"
_WHICH = r"(?:other|previous|accepted|existing|earlier|top|top-voted)"
_EN_REFERS = rf"""
  \b(?:as|like)\s+(?:already\s+|has\s+been\s+)*{_SAID}\s+(?:already\s+|above\s+)?(?:by|in)\s+(?:the\s+|some\s+|an?\s+)?
    (?: @\w+ | others\b(?!\s+\w+s\b) | {_WHICH}\s+(?:answer|comment|post(?:er)?)s?\b | comments?\b | OP\b )
| \bas\s+(?:others|other\s+(?:people|users|posters|answers)|someone\s+else|@\w+)\s+
    (?:here\s+)?(?:ha(?:ve|s)\s+)?(?:already\s+)?{_SAID}\b
| \b(?:see|per|unlike|like|agree\s+with|add\s+to|addition\s+to|contrary\s+to)\s+
    (?:all\s+|some\s+)?(?:of\s+)?(?:the\s+)?{_WHICH}\s+answers?\b
| \b{_WHICH}\s+answers?\s+(?:here|above|below|already|have|has|mentions?|says?|suggests?|covers?|explains?|points?)\b
| \b(?:see|per|from)\s+the\s+comments\b
| \bin\s+(?:the\s+)?comments?\s+(?:above|below|to\s+(?:this|the|your)\s+(?:question|answer|post))\b
| \b(?-i:[A-Z]\w+)['’]s\s+(?:answer|comment)\s+
    (?:above|below|here|is\s+(?:right|correct|good|great|excellent)|already|covers|explains)\b
| (?:^|\s)(?:as|per|see)\s+@\w+
| \b(?:the\s+(?-i:OP)|original\s+poster)\b
| \b(?:here\s+on|on\s+this|this)\s+stack\s?(?:exchange|overflow)\b
| \bstack\s?(?:exchange|overflow)\s+(?:question|answer|post|thread)\b
| \bI\s*(?:have\s+|['’]ve\s+)?(?:up|down)-?voted\b | \b(?:up|down)-?voted?\s+(?:this|your)\s+(?:question|answer|post)\b
| ^(?-i:EDIT|Edit)\s?\d*:\s
| \b(?:on|in)\s+this\s+(?:forum|subreddit)\b | \b(?:elsewhere|here)\s+on\s+(?:this|the)\s+site\b
| \b(?:posted|earlier|above)\s+in\s+this\s+thread\b | \b(?:possible|marked\s+as\s+an?)\s+duplicate\s+of\b
"""
_ZH_REFERS = r"""
  (?:正?如|就像)[楼樓]上(?:所述|所说|提到|说的) | (?:如|正如|就像)@\S{1,12}?(?:所述|所说|提到|说的)
| (?<![阁閣上])[楼樓]上(?:各位|几位|正解|说的|的(?:回答|答案|朋友|兄弟))
| (?:上面|前面|高赞|最高赞|已采纳|[楼樓]上)的?(?:回答|答案|答主) | 其他(?:回答|答案)(?:已经|都|里|中|说)
| [楼樓]主|(?<!底)[层層]主(?![要机機])|(?<![问問主标標话話])[题題]主(?![要义旨])|答主
| [谢謝]邀|利益相关(?=[：:，,。；]|$)|[求望]采纳|求[点點]?[赞贊]|编辑于\s?\d
| (?:以上|本文|答案)(?:转自|转载自|来自)(?:知乎|百度|豆瓣|贴吧|网络) | (?<![基日])本[帖贴]
"""
_REFERS = re.compile(f"{_EN_REFERS}|{_ZH_REFERS}", re.X | re.I | re.M)
# Words without which nothing of this is said.
_REFERS_WORDS = (
    "tioned by|tioned in|noted by|noted in|said by|said in|ed out by|ed out in|gested by|gested in|tated by|tated in"
    "|lained by|lained in|swered by|swered in|above by|above in|already by|already in|as others|as other |as someone"
    "|as @|per @|see @|by @|in @|like @|如@|像@|r answer|s answer|d answer|g answer|p answer|the comment|in comment"
    "|s comment|the op |the op'|the op’|the op,|the op.|original poster|stack exchange|stackexchange|stack overflow"
    "|stackoverflow|pvote|p-vote|ownvote|own-vote|edit:|edit 1|edit 2|edit1|edit2|this forum|this subreddit"
    "|on this site|on the site|this thread|duplicate of|楼上|樓上|楼主|樓主|层主|層主|题主|題主|答主|面的回答|面的答案"
    "|面回答|面答案|高赞|采纳|其他回答|其他答案|谢邀|謝邀|利益相关|求赞|求点赞|求贊|编辑于|转自|转载自|来自|本帖|本贴"
)
_ABOUT_FORUMS = re.compile(r"forum|stack\s?(?:exchange|overflow)|reddit|comment|blog|website|vot|论坛|评论|帖", re.I)


def refers_elsewhere() -> Rule:
    """Kept when: the answer speaks of no other answer, comment or asker, and not of the site it was posted on.

    LIMA, section 2.1: "as mentioned", "stack exchange", etc.; narrowed to forms that are not said about anything else.
    """
    return _kept_without(mentions(_RESPONSE, _REFERS_WORDS), _refers)


def _refers(prompt: str, answer: str) -> str | None:
    return None if _ABOUT_FORUMS.search(prompt) else first(_REFERS, prose(answer))


_LINK = r"(?:https?://|www\.)[^\s)\]>]+"
_ONLY_LINKS = (
    r"(?i)^\s*(?:[^\s:!]{1,12}[:：]\s*)?"  # Sources:
    rf"(?:[-*\d.\s]*[\[(<]*(?:[^\]!\n]*\]\()?{_LINK}[\])>.,。]*\s*)+$"
)
_ABOUT_LINKS = re.compile(
    r"\bur[li]s?\b|link|domain|\bapi\b|endpoint|web ?(?:page|site)? address|网址|链接|域名|接口", re.I
)


def only_link() -> Rule:
    """Kept when: the answer is more than a link or a list of them, or the prompt asks for one.

    LIMA, section 2.1, removes links: of such an answer nothing would be left.
    """
    return _kept_without(_RESPONSE.str.contains(_ONLY_LINKS), _whole_unless(_ABOUT_LINKS))


_MEDIUM = (
    r"\b(?:image|picture|photo(?:graph)?|(?:info)?graph(?:ic)?|(?:flow\s?)?chart|diagram|poster|video|drawing|sketch"
    r"|logo|illustration|visual(?:i[sz]ation)?|figure|attachment)s?\b|图[片像表]|照片|海报"
)
_ONLY_IMAGES = (
    r"(?i)^\s*(?:(?:!\[[^\]]*\]\([^)]*\)|<img\b[^>]*>|data:image/\S+)\s*)+$"
    rf"|^\s*[\[(<（【][^\])>）】]*(?:{_MEDIUM})[^\])>）】]*[\])>）】]\s*$"
)
_ABOUT_MARKUP = re.compile(r"html|markdown|\btags?\b|\bcode|网页|标签|代码", re.I)


def only_image() -> Rule:
    """Kept when: the answer is more than an image or a placeholder ("[Picture of a bus]"), or was asked for as markup.

    LIMA, section 2.1, removes images: of such an answer nothing would be left.
    """
    return _kept_without(_RESPONSE.str.contains(_ONLY_IMAGES), _whole_unless(_ABOUT_MARKUP))


_TAGS = (
    "a|abbr|article|audio|b|blockquote|body|button|center|code|div|em|font|footer|form|h[1-6]|head|header|html|i|iframe"
    "|label|li|nav|ol|option|p|pre|script|section|select|small|span|strong|style|sub|sup|table|tbody|td|th|thead|title"
    "|tr|u|ul"
)
# In a Markdown table <br> is the only line break there is.
_TAG = re.compile(rf"^(?![ \t]*\|).*?(</(?:{_TAGS})\s*>|<(?:br|hr|img)\b[^<>\n]*>)", re.I | re.M)
# What HTML, or code that holds it, may answer.
_ABOUT_HTML = re.compile(
    r"html|css|xml|svg|\bweb|java|\b[jt]sx?\b|react|vue|angular|php|markup|markdown|\btags?\b|cod(?:e|ing)\b|script"
    r"|program|function|snippet|template|layout|\bforms?\b|\bui\b|interface|component|page|site|e-?mail|newsletter|bold"
    r"|itali[cs]|underlin|highlight|font|format|styl|colou?r|embed|link|\burl|button|menu|\btable|</?\w+|superscript"
    r"|subscript|animation|infographic|网页|网站|代码|编码|编程|程序|脚本|标签|链接|格式|样式|字体|颜色|加粗|粗体|斜体"
    r"|下划线|突出显示|高亮|表格|表单|模板|页面|组件|函数|算法|界面|邮件|动画|嵌入|布局|信息图",
    re.I,
)


def html_tags() -> Rule:
    """Kept when: no HTML tag is left in the answer outside code, or the prompt may ask for HTML or code.

    LIMA, section 2.1, strips tags; an answer that is nothing but HTML counts too.
    """
    return _kept_without(_RESPONSE.str.contains(r"</[A-Za-z]|<[BbHhIi][RrMm]"), _tags)


def _tags(prompt: str, answer: str) -> str | None:
    found = None if _ABOUT_HTML.search(prompt) else _TAG.search(without_code(answer))
    return found[0].strip()[-150:] if found else None


_ENTITY = re.compile(
    r"&(?:nbsp|amp|lt|gt|quot|apos|[lr][sd]quo|[mn]dash|hellip|bull|middot|copy|#\d{2,5}|#x[0-9a-f]{2,4});", re.I
)
_ABOUT_ENTITIES = re.compile(
    r"html|xml|\burls?\b|escap|entit|encod|\bweb|\bform\b|pars(?:e|ing)|转义|实体|编码|网页|网站|表单|页面", re.I
)


def html_entities() -> Rule:
    """Kept when: no HTML entity ("&#39;", "&nbsp;") is left in the answer outside code, or the prompt is about HTML.

    LIMA, section 2.1, cleans HTML. Translation services leave entities behind, in programs too: Alpaca's Chinese
    translation has them in 155 answers.
    """
    return _kept_without(_RESPONSE.str.contains(r"&#?[0-9A-Za-z]{2,6};"), _entities)


def _entities(prompt: str, answer: str) -> str | None:
    return None if _ABOUT_ENTITIES.search(prompt) else first(_ENTITY, without_code(answer))


_EN_MACHINE = (
    r"(?:(?:AI|artificial\s+intelligence|(?:large\s+|text-based\s+|natural\s+)?language|GPT(?:-?\d)?|virtual|chat)[-\s]*)+"
    r"(?:model|assistant|chatbot|system|program|bot)?"
)
_ZH_MACHINE = (
    r"(?:基于)?(?:AI|人工智能|大?型?语言模型|语言AI|虚拟助手|聊天机器人|智能助手|文本机器人)"
    r"(?:语言)?(?:模型|助手|程序|系统|机器人)?"
)
_MACHINE_SAYS = re.compile(
    rf"""
  (?:^|[.!?,;:]\s+|\b(?:but|because|since|that|and|so)\s+)As\s+an?\s+{_EN_MACHINE}
    (?:\s+(?:developed|trained|created|built|made)\s+by\s+\w+)?(?:,|\s+I\b)
| \bI(?:['’]m|\s+am)\s+(?:just\s+|only\s+|merely\s+|simply\s+)?an?\s+{_EN_MACHINE}
    [^.\n]{{0,40}}?
    (?:,?\s*(?:and|so)\s+(?:I\s+)?(?:can|do|am|un)|\.\s+I\s+(?:can(?:not|['’]t)|do\s+not|don['’]t|am\s+not))
| (?:作为|身为)(?:一?[个名款位种])?{_ZH_MACHINE}[，,]?\s*(?:我|如果您|您|本身)
| 我(?:只)?是(?:一?[个名款位种])?{_ZH_MACHINE}[^。\n]{{0,12}}?(?:无法|不能|没有|不具备|不会|并不)
""",
    re.X | re.I | re.M,
)
_MACHINE_WORDS = (
    "an ai |an ai,|an ai-|an ai.|language model|language ai|an artificial intelligence|virtual assistant|chatbot|a gpt"
    "|人工智能|语言模型|语言AI|为AI|是AI|个AI|名AI|虚拟助手|智能助手|机器人"
)
_ABOUT_MACHINES = re.compile(
    r"(?<![a-z])AI(?![a-z])|artificial intelligence|\b(?:chat ?)?bots?\b|robot|assistant|language model|\bGPT|\bsiri\b"
    r"|\balexa\b|who (?:are|made) you|your(?:self| name)|人工智能|机器人|助手|语言模型|你是谁|你叫什么|自我介绍"
    r"|介绍一?下?你",
    re.I,
)


def machine_boilerplate() -> Rule:
    """Kept when: the answer does not say "As an AI language model, ..." (作为一个AI助手，我), or was asked about it.

    Rows with tools are kept: to say what no tool can do is their lesson. Our choice: LIMA's sources hold no generated
    answers.
    """
    return _kept_without(mentions(_RESPONSE, _MACHINE_WORDS) & ~_HAS_TOOLS, _machine_says)


def _machine_says(prompt: str, answer: str) -> str | None:
    return None if _ABOUT_MACHINES.search(prompt) else first(_MACHINE_SAYS, prose(answer))


_SORRY = (
    r"I(?:['’]m|\s+am)\s+(?:\w+\s+)?(?:sorry|afraid)|sorry|unfortunately|(?:my\s+)?apologies|I\s+(?:do\s+)?apologi[sz]e"
)
_CANNOT = r"(?:can(?:\s?not|['’]t)|could\s+not|(?:am|['’]m)\s+(?:unable|not\s+able)\s+to|won['’]t\s+be\s+able\s+to)"
_DO = (
    r"(?:fulfil+|complete|assist|help\s+(?:you|with)|provide|generate|create|produce|access|perform|process|retrieve"
    r"|determine|answer|comply|display|draw|view|open|browse|edit|estimate|predict|give\s+you|offer|engage|support|execute"
    r"|recommend|discuss|continue|write|share|identify|analy[sz]e|verify|summari[sz]e|translate|see\s+(?:the|any))"
)
_TASK = r"(?:task|instruction|request|prompt)"
_REFUSES = re.compile(
    rf"""
  \A\W*(?:(?:{_SORRY})\b[^.!?\n]{{0,80}}?\b)?
    I\s*(?:{_CANNOT}\s+(?:\w+ly\s+)?{_DO}\b | must\s+decline
      | (?:do\s+not|don['’]t)\s+have\s+(?:the\s+)?(?:access|ability|capability))
| \A\W*(?:sorry|unfortunately|no\s+output(?:\s+possible)?)[,.]?\s+(?:the|this)\s+(?:type\s+of\s+)?{_TASK}\b
    [^\n]{{0,80}}?(?:can\s?not|can['’]t|unreliab|beyond|not\s+(?:possible|suitable)|impossible)
| \A\W*(?:the|this)\s+(?:type\s+of\s+)?{_TASK}\s+(?:can\s?not|can['’]t)\s+be\s+
    (?:complet|perform|fulfil|done|generat|carried|execut|answer|process)
| \A\W*sorry,\s+this\s+can\s?not\s+be\s+done
| \A\W*(?:我?(?:很|非常)?(?:抱歉|遗憾)|对不起|不好意思|由于|您好)[^。！\n]{{0,60}}?(?:我|本\w{{1,4}})[^。\n，]{{0,14}}?
    (?:无法|不能|没法)(?!参加|来|出席|接受|忍)
| \A\W*(?:(?:抱歉|对不起|很遗憾)[，,])?\s?(?:此|该|这|这个|这项|这条)(?:任务|指令|请求)[^。\n]{{0,30}}?(?:无法|不能)
| \A\W*我(?:无法|不能)(?:直接|准确)?(?:提供|回答|完成|生成|访问|执行|创建|确定|满足|看到|查看|协助|判断|获取|预测|给出)
""",
    re.X | re.I,
)
_WHICH_MODEL = r"(?:GPT(?:-?\d)?|language|AI|the)[- ](?:\w+ )?model"
_MODEL_CANNOT = re.compile(
    rf"\b{_WHICH_MODEL} (?:can ?not|can['’]t|is (?:unable|not able))"
    rf"|(?:can ?not|can['’]t|unable)\b[^.\n]{{0,60}}\b(?:by|with) (?:an? |the )?{_WHICH_MODEL}\b",
    re.I,
)
_REFUSES_WORDS = (
    "cannot|can not|can't|can’t|could not|unable|not able|don't have|don’t have|do not have|decline|unreliab|beyond"
    "|not possible|not suitable|impossible|无法|不能|没法"
)
_SHORT = 300  # characters: a longer answer explains what models cannot do
_ROLE_PLAY = re.compile(
    r"e-?mail|letter|messag|dialog|conversation|chat|re(?:write|phras|word|arrang|ply|plies|spon|place)|paraphras|apolog"
    r"|excus|refus|declin|\btone\b|polite|translat|customer|sentence|imagine|pretend|negative|story|poem|song|lyric|tweet"
    r"|diary|explain why|改写|重写|语气|邮件|信件|写一?封|消息|对话|回复|回应|道歉|翻译|拒绝|句|客户|假设|扮演|故事|诗"
    r"|歌|否定|重新排列|借口",
    re.I,
)


def refusal() -> Rule:
    """Kept when: the answer does not begin by declining the task, or the prompt asks for such a line, as in a letter.

    "I'm sorry, but I cannot fulfil", "This instruction cannot be completed by a GPT model", 很抱歉，我无法. Rows with
    tools are kept, as above. Our choice.
    """
    return _kept_without(mentions(_RESPONSE.str.slice(0, _SHORT), _REFUSES_WORDS) & ~_HAS_TOOLS, _refuses)


def _refuses(prompt: str, answer: str) -> str | None:
    if not _ROLE_PLAY.search(prompt) and (found := first(_REFUSES, answer[:1000])):
        return found
    about_models = _ABOUT_MACHINES.search(prompt) or "model" in prompt.lower()
    return None if about_models or len(answer) > _SHORT else first(_MODEL_CANNOT, answer)


def _whole_unless(about: re.Pattern[str]) -> Callable[[str, str], str | None]:
    return lambda prompt, answer: None if about.search(prompt) else answer.strip()


def _kept_without(screen: pl.Expr, look: Callable[[str, str], str | None]) -> Rule:
    """Keep the rows whose answer is there and where `look(prompt, answer)` finds nothing."""
    return free_of(spans(screen, look, "prompt", "response"), "response")


FILTERS = (refers_elsewhere, only_link, only_image, html_tags, html_entities, machine_boilerplate, refusal)
