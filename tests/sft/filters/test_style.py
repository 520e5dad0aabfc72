"""The style rules: what each keeps and drops, and the traps."""

from __future__ import annotations

import json

import polars as pl
import pytest

from curate.data.lexicon import prose, without_code
from curate.sft.filters import style

ASK = "Explain it."

KEPT = {
    "refers_elsewhere": [
        (ASK, "Great resources are Stack Overflow, Reddit and MDN."),
        ("Write a tweet.", "Follow @FitnessPlanet for more! See you in the comments."),
        (ASK, "As stated by Einstein, time is relative. As explained in the abstract, it works."),
        (ASK, "import x\n@app.route('/')\ndef f(): pass"),
        (ASK, "B is right; the other answers do not fit."),
        (ASK, "Let's answer its call. Kenny's answer surprised them."),
        (ASK, "CRUD stands for:\nCreate: new rows\nUpdate: changed rows\nEdit mode: on"),
        (ASK, "The upvote button lets users vote; a duplicate of an address is removed."),
        (ASK, 'He wrote: "As others have said, I upvoted this answer." and left.'),
        (ASK, "Use `as @user said` in the file. ```\nI upvoted this answer\n``` Done."),
        ("Design a forum page.", "Users see the accepted answer here, and the OP."),
        (ASK, "问题主要在于底层主机，大气层主要由氮组成。现在就粘贴吧！"),
        (ASK, "利益相关者需要参与。楼上是卧室，阁楼上有书。日本帖子很多。"),
        (ASK, "多点赞，欢迎来自各地的朋友。其他答案不对。"),
    ],
    "only_link": [
        (ASK, "See https://a.b/c for more."),
        ("Create a URL for the page 'about'.", "https://abc.com/about"),
        ("给我一个网址", "https://abc.com"),
        (ASK, "example.py"),
        (ASK, "1. First\n2. https://a.b"),
    ],
    "only_image": [
        (ASK, "Here is a car:\n![car](http://a.b/car.jpg)"),
        ("Write the HTML tag for a picture.", '<img src="a.png">'),
        (ASK, "['Phonograph', 'Telegraph', 'Movie camera']"),
        (ASK, "[1, 2, 3]"),
        (ASK, "(a) chart"),
        (ASK, "The image [1] shows a chart (2)."),
    ],
    "html_tags": [
        ("Create an HTML form.", "<form><input></form>"),
        ("Make the word bold.", "I had <b>ravioli</b>."),
        (ASK, "Close it with `</div>`."),
        (ASK, "```html\n<p>Hi</p>\n```"),
        (ASK, "| a | b |\n|---|---|\n| one<br>two | x |"),
        (ASK, "if a<b and c>d then List<String> or </3"),
        ("写一个网页", "<p>你好</p>"),
    ],
    "html_entities": [
        ("Escape this text for HTML.", "a &lt; b"),
        (ASK, "AT&T; R&D & more"),
        (ASK, "Write `&amp;` for an ampersand."),
        (ASK, "x &= y; if (a && b);"),
    ],
    "machine_boilerplate": [
        ("What is AI?", "As an AI, I rely on data."),
        ("Hi, who are you?", "I am an AI assistant and I can help."),
        (ASK, "It is used as an AI assistant, it can be evaluated, as a language model."),
        (ASK, "Three countries have French as an official language, so I can go."),
        ("你是谁？", "作为一个人工智能助手，我可以帮你。"),
        (ASK, "作为人工智能的一个分支，机器学习很重要。"),
        (ASK, '"As an AI, I am tired", said the film.'),
        ("I feel sad.", "I am a virtual friend of yours."),
    ],
    "refusal": [
        ("Write an apology letter.", "I'm sorry, but I cannot provide the report in time."),
        ("Reword: I can't answer.", "I am unable to answer."),
        (ASK, "I can't believe it's over."),
        (ASK, "Unfortunately, the store will be closed today."),
        (ASK, "I'm sorry to hear that. How can I help?"),
        ("What can a GPT model not do?", "A GPT model cannot draw."),
        (ASK, "The task of the heart cannot be overstated; the liver helps it."),
        (ASK, "A long text about what a language model cannot do. " * 10),
        ("把句子改成非正式语气。", "抱歉，我不能提供帮助。"),
        (ASK, "我不能没有你。"),
    ],
}

DROPPED = {
    "refers_elsewhere": [
        (ASK, "As already explained by others, a ket is a vector."),
        (ASK, "As pointed out in the comments, this is not the same."),
        (ASK, "As others have said, winter brings its own problems."),
        (ASK, "Other answers already touched on this."),
        (ASK, "How they are chosen: see the other answers."),
        (ASK, "As @pyramids points out, it scales."),
        (ASK, "It depends on what the OP wants."),
        (ASK, "I upvoted it because it is right. I have downvoted the rest."),
        (ASK, "See this Stack Overflow question for the reason."),
        (ASK, "It works.\nEDIT: it does not work on Windows."),
        (ASK, "This is a possible duplicate of another one."),
        (ASK, "楼主说得对。"),
        (ASK, "谢邀。先说结论。"),
        (ASK, "如@小明所说，这很简单。求采纳！"),
        (ASK, "层主的办法可行。"),
    ],
    "only_link": [
        (ASK, "https://www.nytimes.com/2020/a.html"),
        (ASK, "Sources:\n1. https://a.b/c\n2. https://d.e/f"),
        (ASK, "[here](https://a.b)"),
        (ASK, " www.apastyle.org. "),
    ],
    "only_image": [
        (ASK, "![alt text](https://i.imgur.com/a.png)"),
        (ASK, "[Picture of a bus with circles around its wheels]"),
        (ASK, "<image>"),
        (ASK, '<img src="pie.png" width="500">'),
        (ASK, "(Flow chart)"),
        (ASK, "[显示气温的图表]"),
    ],
    "html_tags": [
        ("Write a haiku.", "At spring's first rainbows<br>\nThe river runs"),
        ("Find the area.", "70 m<sup>2</sup>."),
        ("Tell me a joke.", "<html><body>Knock, knock.</body></html>"),
        ("用下列词语写俳句。", "春天<br>河流"),
    ],
    "html_entities": [
        (ASK, "f&#39;(x) = 2x"),
        (ASK, "Floors &amp; Walls"),
        ("写一个算法。", "如果 a &gt; b:"),
        (ASK, "a&nbsp;b"),
        (ASK, "&#x27;"),
    ],
    "machine_boilerplate": [
        ("Describe your house.", "As an AI, I don't have a physical house."),
        (ASK, "I'm sorry, but as an AI language model, I do not have data."),
        (ASK, "I am an AI language model and cannot access it."),
        (ASK, "As a large language model trained by OpenAI, I cannot say."),
        ("描述一次难忘的经历。", "作为一个人工智能助手，我没有经历。"),
        ("拿垃圾。", "抱歉，由于我是一个语言模型，无法拿取。"),
    ],
    "refusal": [
        ("Write a weather report.", "I'm sorry, but I cannot provide real-time data."),
        ("Draw a logo.", "I am not able to generate a logo."),
        ("Set an alarm.", "This instruction cannot be completed by a GPT language model."),
        ("Draw a tree.", "Sorry, the task requires a visual output which cannot be generated by the model."),
        ("Make a poster.", "No output possible, GPT model cannot create visuals."),
        ("Summarise the article.", "I don't have access to external articles."),
        ("总结这篇文章。", "很抱歉，我无法访问该文章。"),
        ("画一棵树。", "这个指令无法由模型完成。"),
    ],
}


def pairs(table: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str, str]]:
    """Flatten a table of cases."""
    return [(rule, prompt, response) for rule, cases in table.items() for prompt, response in cases]


@pytest.mark.parametrize(("rule", "prompt", "response"), pairs(KEPT))
def test_a_sound_answer_is_kept(rule, prompt, response, verdict):
    """An answer that a rule is not about, or that was asked for, is kept."""
    assert verdict(getattr(style, rule), prompt, response) == (True, None)


@pytest.mark.parametrize(("rule", "prompt", "response"), pairs(DROPPED))
def test_a_foreign_answer_is_dropped_with_evidence(rule, prompt, response, verdict):
    """An answer that a rule is about is dropped, with the words that triggered it."""
    keep, evidence = verdict(getattr(style, rule), prompt, response)
    assert keep is False
    assert evidence


@pytest.mark.parametrize("rule", style.FILTERS, ids=lambda rule: rule.__name__)
def test_null_is_not_kept(rule, verdict):
    """A row without an answer passes no rule."""
    assert not verdict(rule, "x", "y", chat=None, prompt=None, response=None)[0]


@pytest.mark.parametrize("rule", style.FILTERS, ids=lambda rule: rule.__name__)
def test_prompts_are_not_judged(rule, verdict):
    """What would drop an answer is no reason to drop a row when it stands in the prompt."""
    for _, text in DROPPED[rule.__name__]:
        assert verdict(rule, text, "Rivers carry water to the sea.")[0] is True


@pytest.mark.parametrize("rule", ["refusal", "machine_boilerplate"])
def test_rows_with_tools_may_decline(rule, verdict):
    """Where tools are given, to say what none of them can do is the lesson."""
    chat = json.dumps(
        {"messages": [{"content": "Book a flight.", "role": "user"}], "tools": [{}]}, separators=(",", ":")
    )
    answer = "I'm sorry, but as an AI, I don't have the capability to book flights."
    assert verdict(getattr(style, rule), "Book a flight.", answer, chat=chat)[0] is True
    assert verdict(getattr(style, rule), "Book a flight.", answer)[0] is False


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a `b` c", "a   c"),
        ("a ```py\nb\n``` c", "a   c"),
        ("a ```\nb", "a  "),
        ("a<code>b</code>c", "a c"),
        ("a <code>b", "a <code>b"),
    ],
)
def test_code_leaves_a_space(text, left):
    """Code goes, and its neighbours do not grow together."""
    assert without_code(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("> quoted\nsaid", " \nsaid"),
        ('he said "no" twice', "he said   twice"),
        ("他说“不”。", "他说 。"),
        ("see https://a.b/c, then", "see   then"),
        (r"so $x^2$ and \(y\) and $$z$$", "so   and   and  "),
        ("from $5 to $6 each", "from $5 to $6 each"),
        (f'"{"x" * 401}"', f'"{"x" * 401}"'),
    ],
)
def test_prose_is_what_the_author_says(text, left):
    """Quotations of up to 400 characters, block quotes, links and LaTeX go; prices stay."""
    assert prose(text) == left


@pytest.mark.parametrize(("name", "share", "entities"), [("alpaca_data_52k", 0.003, 0), ("alpaca_zh", 0.012, 140)])
def test_little_of_a_generic_pool_goes(name, share, entities, marked):
    """Rules for forum answers and chatbots leave other pools alone; the Chinese translation has entities."""
    fired = marked(name)["rules"].list.eval(pl.element().filter(pl.element().str.starts_with("style.")))
    assert 0 < (fired.list.len() > 0).mean() < share
    assert fired.list.contains("style.html_entities").sum() == entities
