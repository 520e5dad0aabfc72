"""The language of texts: sure ones are told, all others have none; rules, quotas and the ledger use it."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.cli import app
from curate.errors import UsageError
from curate.face import run
from curate.sft import filters, language
from curate.sft.filters import language as rules
from curate.sft.shares import values_of

PROMPTS = {
    "en": "Explain in two sentences why the sky looks blue on a clear day.",
    "fr": "Explique en deux phrases pourquoi le ciel paraît bleu par temps clair.",
    "de": "Erkläre in zwei Sätzen, warum der Himmel an klaren Tagen blau erscheint.",
    "es": "Explica en dos frases por qué el cielo parece azul en los días despejados.",
}
ANSWERS = {
    "en": "Air scatters short waves of light far more than long ones, so blue reaches us from every direction. "
    "At sunset the way through the air is longer, and mostly red is left.",
    "fr": "L'air diffuse les ondes courtes de la lumière bien plus que les longues, si bien que le bleu nous arrive de "
    "toutes parts. Au coucher du soleil, le chemin est plus long et il reste surtout du rouge.",
    "de": "Die Luft streut kurze Wellen des Lichts viel stärker als lange, so dass Blau aus allen Richtungen zu uns "
    "kommt. Bei Sonnenuntergang ist der Weg durch die Luft länger, und es bleibt vor allem Rot übrig.",
    "es": "El aire dispersa las ondas cortas de la luz mucho más que las largas, así que el azul nos llega desde todas "
    "partes. Al atardecer el camino por el aire es más largo y queda sobre todo el rojo.",
}
UNSURE = [
    "", "42", "Paris", "Question", "Devastated.", "3.14159265358979323846264338327950288419716939937510",
    "Hydrogen, helium, lithium, beryllium, boron, carbon, nitrogen, oxygen, fluorine, neon, sodium, magnesium",
    "1. Giraffa camelopardalis\n2. Panthera leo\n3. Ursus maritimus\n4. Felis catus\n5. Equus caballus",
    "Oslo, Bergen, Trondheim, Stavanger, Drammen, Fredrikstad, Tromsø, Sandefjord, Kristiansand, Ålesund.",
    "```python\ndef le_plus_grand(nombres):\n    return max(nombre for nombre in nombres if nombre is not None)\n```",
    f"{ANSWERS['en']} {ANSWERS['fr']}",
    f"{ANSWERS['de']} {ANSWERS['en']}",
]  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give each test an empty cache."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))


def told(*pairs):
    """Return a ledger of prompts and answers with their languages."""
    frame = pl.DataFrame({"prompt": [p for p, _ in pairs], "response": [a for _, a in pairs]})
    return frame.with_columns(
        language=language.identify(frame["response"], language.language_of, 1),
        prompt_language=language.identify(frame["prompt"], language.asked_in, 1),
    )


@pytest.mark.parametrize("code", ANSWERS)
def test_sure_texts_are_told(code):
    """Answers of two sentences, and prompts of one."""
    frame = told((PROMPTS[code], ANSWERS[code]))
    assert frame.select("language", "prompt_language").row(0) == (code, code)


def test_what_is_not_sure_has_no_language():
    """Short texts, numbers, lists of names, Latin, code, and texts that go over into another language."""
    assert told(*(("p", answer) for answer in UNSURE))["language"].to_list() == [None] * len(UNSURE)


def test_a_prompt_on_a_text_in_another_language_has_none():
    """What is asked in one language about a text in another may be answered in either."""
    for text in (ANSWERS["fr"], ANSWERS["es"]):
        asked = [f"Summarise the following paragraph: {text}", f"{text}\n\nWhat is the main point of the author?"]
        assert told(*((prompt, "a") for prompt in asked))["prompt_language"].to_list() == [None, None]


@pytest.mark.parametrize("asked", PROMPTS)
@pytest.mark.parametrize("answered", ANSWERS)
def test_a_mismatch_is_a_sure_answer_in_another_language(asked, answered):
    """Evidence names both; the prompt's own language is never one."""
    marked = filters.apply(told((PROMPTS[asked], ANSWERS[answered])), [("language.mismatch", rules.mismatch)])
    expected = None if asked == answered else f"{answered}, asked in {asked}: {ANSWERS[answered][:150]}"
    assert marked["evidence"].item() == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "Translate into French why the sky looks blue on a clear day.",
        "Explain in German why the sky looks blue on a clear day.",
        "Traduis en anglais la phrase qui suit, s'il te plaît, sans rien y ajouter.",
        "Übersetze den folgenden Satz über den Himmel, ohne etwas hinzuzufügen.",
        "Write a program that prints why the sky looks blue on a clear day.",
        "Explain in two sentences what 天空 is and why it looks blue on a clear day.",
    ],
)
def test_prompts_that_speak_of_languages_are_set_aside(prompt):
    """So are those that speak of code, and those in two scripts."""
    for answer in (ANSWERS["es"], *UNSURE):
        marked = filters.apply(told((prompt, answer)), [("language.mismatch", rules.mismatch)])
        assert marked["drop_reason"].item() is None


def test_answers_in_the_languages_asked_for_are_kept():
    """English unless told otherwise; what has no language is kept, and the evidence names the one that is not asked."""
    frame = told(*(("p", answer) for answer in [*ANSWERS.values(), *UNSURE]))
    for name, kept in (("language.answer", ["en"]), ("language.answer=fr:de", ["fr", "de"])):
        marked = filters.apply(frame, filters.resolve([name]))
        assert marked["language"].filter(marked["drop_reason"].is_null()).drop_nulls().to_list() == kept
        assert marked["drop_reason"].null_count() == len(UNSURE) + len(kept)
    assert marked["evidence"][0] == f"en: {ANSWERS['en'][:150]}"


def test_a_code_that_is_not_known_is_refused():
    """The nearest ones are named."""
    with pytest.raises(UsageError, match="unknown language 'eng'") as caught:
        filters.resolve(["language.answer=fr:eng"])
    assert "Did you mean en" in caught.value.hint


@given(text=st.text(max_size=300))
@settings(max_examples=50, deadline=None)
def test_any_text_can_be_looked_at(text):
    """A code or nothing, and always the same."""
    found = language.identify(pl.Series([text, None, text]), language.asked_in, 1).to_list()
    assert found[0] == found[2]
    assert found[1] is None
    assert found[0] is None or found[0] in language.codes()


def test_workers_change_nothing(monkeypatch):
    """Chunks go to other processes, and come back in order."""
    monkeypatch.setattr(language, "_CHUNK", 5)
    texts = pl.Series([*ANSWERS.values(), *UNSURE, None])
    alone, together = (language.identify(texts, language.language_of, workers) for workers in (1, 2))
    assert alone.equals(together)
    assert alone.head(4).to_list() == list(ANSWERS)


def pool():
    """Return rows in four languages, English ones above all, and short ones."""
    return [
        {"instruction": f"{number}. {PROMPTS[code]}", "output": f"{text} ({number})"}
        for code, text in (*ANSWERS.items(), ("en", "42"))
        for number in range(12 if code == "en" else 6)
    ]


def test_quotas_report_and_ledger_by_language(monkeypatch):
    """`--balance language` shares out over the languages of answers; the ledger has them, the report counts them."""
    options = {"count": 10, "balance": "language", "floor": 1, "workers": 1, "filters": "none"}
    selection = curate.select_rows(pool(), **options)
    given = {entry["name"]: entry["given"] for entry in selection.report["balance"]}
    assert set(given) == {"(none)", "en", "fr", "de", "es"}
    assert dict(values_of(selection.rows, "language").value_counts().iter_rows()) == given
    assert selection.report["languages"]["answers"] == {"en": 12, "de": 6, "es": 6, "fr": 6}
    assert selection.report["languages"]["identifier"].startswith("py3langid ")
    monkeypatch.setattr(language, "identify", None)  # a second run reads them
    assert curate.select_rows(pool(), **options).ledger.equals(selection.ledger)
    plain = curate.select_rows(pool(), count=10, workers=1)
    assert plain.ledger["language"].null_count() == plain.ledger.height
    assert plain.report["languages"] is None


@pytest.mark.parametrize("options", [["--filters", "language"], ["--filters", "language.answer=fr"],
                                     ["--balance", "language"]])  # fmt: skip
def test_without_the_extra_the_install_line_is_said(options, monkeypatch, capsys):
    """Exit 2, before anything is read; other rules need nothing."""
    language._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    try:
        assert run(app, ["select", "no such file.jsonl", "--count", "5", *options]) == 2
    finally:
        language._identifier.cache_clear()
    said = " ".join(capsys.readouterr().err.split())
    assert said == 'curate: the language of a text needs py3langid Install: pip install "curate[language]"'
    assert 'language = ["py3langid' in (Path(__file__).parents[2] / "pyproject.toml").read_text()


def test_on_alpaca_nothing_is_called_foreign_that_is_not(shared_data):
    """Of 52,002 answers 25 are not in English, two of them lists of names; none is in a language not asked for."""
    with gzip.open(shared_data / "instruct/alpaca_data_52k.jsonl.gz") as file:
        rows = [json.loads(line) for line in file][::10]
    marked = filters.apply(
        told(*((f"{row['instruction']}\n\n{row['input']}".strip(), row["output"]) for row in rows)),
        filters.resolve(["language"]),
    )
    assert marked.filter(marked["rules"].list.contains("language.mismatch")).is_empty()
    assert 0 < marked["drop_reason"].count() < 10
