"""The clean rules: what each keeps and drops, and the traps."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest

from curate.sft import filters
from curate.sft.filters import clean

PROSE = "Rivers carry water from the hills to the sea. They cut valleys, feed fields and turn mills on their way. "
LONG = PROSE * 5  # over 500 bytes
POEM = "\n".join(f"Line {word} of the song goes on and on," for word in ("one", "two", "three", "four", "five"))

CHORUS = "\nSing along with me, my friend, sing along tonight\nSing until the morning comes and all is right\n"

KEPT = {
    "empty_prompt": [("Hi", "x"), ("?", "x"), ("What does <noinput> mean?", "x"), ("你好", "x")],
    "empty_answer": [
        ("x", "7"),
        ("x", "None"),
        ("x", "NA"),
        ("x", "not found"),
        ("x", "😆"),
        ("x", "..-. ---"),
        ("x", "Use <noinput> where there is no input."),
        ("x", "N/A stands for not applicable.\nIt marks a field."),
        ("x", "无法输入密码时，请重启。"),
    ],
    "answer_is_prompt": [
        ("Fix the case: hello", "hello"),
        ("hello world", "Hello world"),
        ("Hello world", "Hello world."),
        ("a", "b"),
    ],
    "control_characters": [
        ("Tab\tand\r\nbreak", "fine"),
        ("naïve café", "日本語 😀"),
        ("soft\u00adhyphen", "zero\u200bwidth"),
    ],
    "broken_encoding": [
        ("NAÇÃO e SÃO PAULO", "PÂTÉ «Â»"),
        ("the café’s “naïve” menu…", "Ünïcödé ©2020 50 £"),
        ("Why do I see â€™ when my encoding is wrong?", "Because of UTF-8."),
        ("Привет", "Ñandú"),
        ("烫", "烫手山芋"),
        ("MAÇÃ»", "À"),
    ],
    "cut_off": [
        ("x", "short answer that ends in a word and"),
        ("x", LONG),
        ("x", LONG + "\n- First item\n- Second item"),
        ("x", LONG + "\n\nSincerely,\nJohn"),
        ("x", POEM + "\n" + POEM),
        ("x", LONG + "\n```python\nprint(1)\n```"),
        ("x", LONG + "So follow us on our way. #Rivers #Water"),
        ("x", "1. one\n2. two\n3. three"),
        ("x", "10."),
        ("x", LONG + "\n\nThe answer is\n\n42."),
        ("x", "A line of a poem without a full stop, long enough to count for prose\n" * 12 + PROSE + "And so on"),
    ],
    "repetition": [
        ("x", "-" * 300),
        ("x", "| a | b |\n" + "|   |   |\n" * 40),
        ("x", "[" + "0, " * 200 + "1]"),
        ("x", "ha ha ha ha ha"),
        ("x", "\n".join(f"{i} x {i} = {i * i}" for i in range(40))),
        ("x", PROSE),
        ("x", "ab" * 20),
        ("x", CHORUS.join([POEM, POEM.upper(), POEM.title()])),
        (
            "x",
            "".join(
                f"{day}:\n- 8 am to 10 am: prepare for the exam\n- 10 am to 12 pm: do the research\n" for day in "ABCDE"
            ),
        ),
    ],
    "missing_attachment": [
        ("Describe a photo of a beach.", "x"),
        ("Photo of two zebras crossing a savannah", "x"),
        ("Given a photo of a hill, write a haiku.", "x"),
        ("Explain what <image> does in SVG: <svg><image href='a.png'></image></svg>", "x"),
        ("What does `![alt](a.png)` mean?", "x"),
        ("Identify the figure of speech in the sentence.", "x"),
        ("Write an email to my boss about the attached image.", "x"),
        ("Fill in the array [a, b, c]", "x"),
        ("Who made the paintings in the Louvre?", "x"),
        ("总结一下网上图书馆如图书馆的作用", "x"),
        ("Print every graph in the list (see below)\nA, B", "x"),
        ("Explain https://example.com/a.png in one word, then stop.", "x"),
    ],
    "roles_alternate": [],
}

DROPPED = {
    "empty_prompt": [("", "x"), (" \n\t", "x"), ("\u200b\ufeff", "x"), ("<noinput>", "x"), ("<No Input>", "x")],
    "empty_answer": [
        ("x", ""),
        ("x", " \n"),
        ("x", "\u200b"),
        ("x", "<nooutput>"),
        ("x", "<No output>\n(not for a model)"),
        ("x", "N/A"),
        ("x", "No Output"),
        ("x", "&lt;无输出&gt;"),
        ("x", "不适用"),
        ("x", "<noinput>\nOutput: Yes"),
    ],
    "answer_is_prompt": [
        ("Draw a cat.", "Draw a cat."),
        ("Draw  a\ncat. ", "Draw a cat."),
        ("Cafe\u0301", "Caf\u00e9"),
        ("\u00e9", "e\u0301"),
    ],
    "control_characters": [
        ("\\x", "\x0crac{1}{2}"),
        ("a\x00b", "x"),
        ("x", "\x1b[31mred"),
        ("x", "we\u0080\u0099ve"),
        ("\x7f", "x"),
    ],
    "broken_encoding": [
        ("x", "Phillips\ufffd stock"),
        ("Iâ€™d like", "x"),
        ("x", "-196 Â°C"),
        ("x", "cafÃ© noir"),
        ("x", "1.12Âµm"),
        ("ä½ å¥½ä¸–ç•Œ", "x"),
        ("锟斤拷", "x"),
        ("烫烫烫烫", "x"),
        ("x", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚"),
        ("ï»¿Hello", "x"),
    ],
    "cut_off": [
        ("x", LONG + "It joined the United Nations, NATO, and the G"),
        ("x", LONG + "\n\n1. One\n2. Two\n3."),
        ("x", LONG + "\n- a\n- b\n-"),
        ("x", LONG + "It is an envi-"),
        ("x", "Here:\n```python\nprint(1)"),
        ("x", "河流把水从山上带到海里。" * 16 + "它们切割山谷，滋养田野、"),
        ("x", "河流把水从山上带到海里。" * 16 + "它们切割山谷，滋养田"),
        ("x", LONG.strip() + " So next time you go – your body"),
    ],
    "repetition": [
        ("x", "Fine. " + "\u0326" * 200),
        ("x", "BZ" * 80),
        ("x", "I am a loop. " * 12),
        ("x", "我喜欢吃苹果。" * 20),
        ("x", "a" * 120),
        ("x", "\n".join(["Eat healthy food and sleep well."] * 6)),
        ("x", PROSE + "\n\n" + PROSE),
    ],
    "missing_attachment": [
        ("<image>\nWhat is this?", "x"),
        ("What is this? <image>", "x"),
        ("<|image|>Describe.", "x"),
        ("Name the flag.\n![Flag](https://a.b/c.png)", "x"),
        ("What colour is this?\n[Picture of a striped shirt]", "x"),
        ("Sum it up.\n<Link to article>", "x"),
        ("Sketch: [image]", "x"),
        ("Find the theme.\n[insert poem]", "x"),
        ("Count the people in the attached photo.", "x"),
        ("Describe the following picture.", "x"),
        ("Add a caption.\nhttps://i.imgur.com/a.jpg?x=1", "x"),
        ("Name the shape.\n<img src='a.png'>", "x"),
        ("统计照片中的人数\n[附照片]", "x"),
        ("为下面的照片生成一个有趣的标题。", "x"),
        ("如图所示，求三角形的面积。", "x"),
        ("列出产品。\n（一家杂货店的照片）", "x"),
    ],
    "roles_alternate": [],
}


def pairs(table: dict[str, list[tuple[str, str]]]) -> list[tuple[str, str, str]]:
    """Flatten a table of cases."""
    return [(rule, prompt, response) for rule, cases in table.items() for prompt, response in cases]


@pytest.mark.parametrize(("rule", "prompt", "response"), pairs(KEPT))
def test_a_sound_row_is_kept(rule, prompt, response, verdict):
    """A row that a rule is not about is kept, and nothing is found in it."""
    assert verdict(getattr(clean, rule), prompt, response)[0] is True


@pytest.mark.parametrize(("rule", "prompt", "response"), pairs(DROPPED))
def test_a_broken_row_is_dropped_with_evidence(rule, prompt, response, verdict):
    """A row that a rule is about is dropped, and the evidence is not empty unless the text is."""
    keep, evidence = verdict(getattr(clean, rule), prompt, response)
    assert keep is False
    assert evidence is not None


@pytest.mark.parametrize("rule", clean.FILTERS, ids=lambda rule: rule.__name__)
def test_null_is_not_kept(rule, verdict):
    """A row without texts passes no rule."""
    keep, _ = verdict(rule, "x", "y", chat=None, prompt=None, response=None, roles=None)
    assert not keep


@pytest.mark.parametrize("roles", ["ua", "sua", "uaua", "ucta", "suctcta", "ucctta", "uc", "uaucta", "uauc"])
def test_alternating_roles_are_kept(roles, verdict):
    """System first, then user and assistant in turn; tool calls and their results stand in the assistant's place."""
    assert verdict(clean.roles_alternate, "x", "y", roles=roles)[0] is True


@pytest.mark.parametrize(
    "roles", ["", "u", "a", "s", "su", "au", "uu", "uua", "uaa", "uau", "usa", "ssua", "uta", "uct", "ucua", "uctua"]
)
def test_other_roles_are_dropped(roles, verdict):
    """Two turns of one side, a first turn of the assistant, a last turn of the user or a tool: none is a dialogue."""
    assert verdict(clean.roles_alternate, "x", "y", roles=roles) == (False, roles)


def chat(*turns: dict[str, object]) -> str:
    """Return a canonical chat."""
    return json.dumps({"messages": turns}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_one_empty_turn_of_several_drops_the_row(blank, verdict):
    """A blank turn in the middle of a dialogue counts, though the joined text is not empty."""
    user, empty = {"role": "user", "content": "hello"}, {"role": "assistant", "content": blank}
    answer = {"role": "assistant", "content": "hi"}
    assert not verdict(clean.empty_answer, "hello", "hi", chat=chat(user, empty, user, answer))[0]
    assert verdict(clean.empty_prompt, "hello", "hi", chat=chat(user, empty, user, answer))[0]
    silent = {"role": "user", "content": blank, "name": "Ann"}
    assert not verdict(clean.empty_prompt, "hello", "hi", chat=chat(user, answer, silent, answer))[0]


def test_a_tool_call_needs_no_text(verdict):
    """An assistant turn that calls a tool may be empty otherwise."""
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}, "type": "function"}]}
    user = {"role": "user", "content": "hello"}
    assert verdict(clean.empty_answer, "hello", '{"name":"f"}', chat=chat(user, call), roles="uc")[0]


def test_json_inside_a_text_is_no_empty_turn(verdict):
    """A text that quotes a chat with an empty turn is not one."""
    text = '{"content":"","role":"user"} and {"content":"","role":"assistant"}'
    assert verdict(clean.empty_prompt, text, text)[0]
    assert verdict(clean.empty_answer, text, text)[0]


def test_evidence_names_what_repeats(verdict):
    """The evidence of a loop is its unit and how often it stands there."""
    assert verdict(clean.repetition, "x", "I am a loop. " * 12)[1].endswith("12 times")
    assert verdict(clean.repetition, "x", "Fine. " + "\u0326" * 200)[1].endswith("200 times")


@pytest.mark.parametrize("text", ["a" * 300_000, "<pre>" * 60_000, "![" * 100_000, r"\(" * 100_000, "1.\n" * 100_000])
def test_hostile_texts_take_linear_time(text, ledger):
    """A long text made to provoke backtracking is judged like any other (the suite would hang otherwise)."""
    frame = ledger(("hi", text), (text, "hi"))
    assert filters.apply(frame, filters.resolve(["clean", "style"])).height == 2


def test_little_of_alpaca_goes(marked):
    """All of Alpaca's 28 empty answers go, and less than 1 % of the pool altogether."""
    alpaca = marked("alpaca_data_52k")
    assert (alpaca.filter(pl.col("response") == "")["drop_reason"] == "clean.empty_answer").sum() == 28
    assert alpaca["drop_reason"].str.starts_with("clean.").sum() < 0.01 * alpaca.height


def test_published_selections_of_alpaca_stay(marked, shared_data):
    """Of the 1,013 rows that CaR ranked best, at most 0.5 % go, whatever the rule."""
    with gzip.open(shared_data / "selections" / "car_alpaca_selected.json.gz", "rt", encoding="utf-8") as file:
        best = pl.DataFrame({"response": [record["output"] for record in json.load(file)]}).unique()
    chosen = marked("alpaca_data_52k").join(best, on="response", how="semi")
    assert chosen["drop_reason"].is_not_null().mean() <= 0.005
