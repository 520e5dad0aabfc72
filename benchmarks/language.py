"""How often the language of a text is told, and how often wrongly: by length, and in pairs of prompt and answer.

    python benchmarks/language.py alpaca_data_52k.jsonl.gz fr=manpages-fr/ de=manpages-de/ es=manpages-es/

A folder CODE=FOLDER holds manual pages (`dpkg-deb -x` of Debian's manpages-fr): prose in that language by many
translators. English texts are answers of Alpaca, and English prompts its instructions; those that speak of languages
are left out. Prints tables, and texts a second; JSON at the end.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from curate.sft import filters, language
from curate.sft.filters.language import SPEAKS_OF_LANGUAGES, mismatch

LENGTHS = (60, 120, 200, 400)  # bytes
TEXTS = 500
_MARKUP = re.compile(r"\\f.|\\\(..|\\&|\\-|\\\[\w+\]|\\")
_ENGLISH = re.compile(r"\b(?:the|of|is|and|to|for|this)\b")


def prose(folder: Path, rng: random.Random) -> list[str]:
    """Return lines of text of manual pages, none that was left in English, in a drawn order."""
    found = set()
    for page in sorted(folder.rglob("*.gz")):
        for line in gzip.decompress(page.read_bytes()).decode("utf-8", "ignore").split("\n"):
            text = _MARKUP.sub("", line)
            if line[:1] not in (".", "'") and sum(map(str.isalpha, text)) > 0.7 * len(text) > 40:
                found.add(text)
    lines = sorted(line for line in found if not _ENGLISH.search(line))
    rng.shuffle(lines)
    return lines


def paragraph(lines: list[str], number: int, size: int) -> str:
    """Return `size` bytes of the lines from a place that is another for another number."""
    start = number * 9 % (len(lines) - 9)
    return " ".join(lines[start : start + 9]).encode()[:size].decode(errors="ignore")


def told(texts: list[str], code: str) -> tuple[float, float]:
    """Return the shares of texts whose language is told rightly, and wrongly."""
    found = language.identify(pl.Series(texts), language.language_of, 1)
    return float((found == code).sum() / len(texts)), float((found != code).sum() / len(texts))


def flagged(pairs: list[tuple[str, str]]) -> float:
    """Return the share of pairs of prompt and answer that the rule takes."""
    prompts, answers = (pl.Series(column) for column in zip(*pairs, strict=True))
    frame = pl.DataFrame({"prompt": prompts, "response": answers}).with_columns(
        language=language.identify(answers, language.language_of, 1),
        prompt_language=language.identify(prompts, language.asked_in, 1),
    )
    return filters.apply(frame, [("mismatch", mismatch)])["drop_reason"].count() / len(pairs)


def main() -> None:
    """Run, print tables, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("alpaca")
    parser.add_argument("folders", nargs="+", metavar="CODE=FOLDER")
    options = parser.parse_args()
    rng = random.Random(0)
    with gzip.open(options.alpaca) as file:
        records = [orjson.loads(line) for line in file]
    texts = pl.Series([record["output"] for record in records])
    start = time.process_time()
    language.identify(texts, language.language_of, 1)
    result: dict[str, Any] = {"answers_per_second": len(texts) / (time.process_time() - start)}
    print(f"{result['answers_per_second']:,.0f} answers of Alpaca a second of processor time")

    speaks = re.compile(SPEAKS_OF_LANGUAGES)
    records = [r for r in records if not speaks.search(r["instruction"] + r["input"]) and r["output"].isascii()]
    rng.shuffle(records)
    alone = [record for record in records if not record["input"] and len(record["output"]) > 150]
    pools = {"en": [" ".join(record["output"].split()) for record in records if len(record["output"]) > 40]}
    pools |= {code: prose(Path(folder), rng) for code, _, folder in (one.partition("=") for one in options.folders)}
    print(f"\n{'rightly told, wrongly told':<46}" + "".join(f"{size:>8} bytes" for size in LENGTHS))
    for code, lines in pools.items():
        shares = {size: told([paragraph(lines, i, size) for i in range(TEXTS)], code) for size in LENGTHS}
        result[code] = {"told": shares}
        print(f"{code:<46}" + "".join(f"{right:>8.3f} {wrong:.3f}" for right, wrong in shares.values()))
    for code, lines in list(pools.items())[1:]:
        texts = [(paragraph(lines, i, 300), paragraph(lines, i + TEXTS, 300)) for i in range(TEXTS)]
        asked = list(zip(alone, texts, strict=False))
        result[code]["flagged"] = found = {
            "English prompt, answer in it": flagged([(en["instruction"], text) for en, (text, _) in asked]),
            "prompt in it, English answer": flagged([(text[:100], en["output"]) for en, (text, _) in asked]),
            "English prompt on a text in it, English answer": flagged(
                [(f"{en['instruction']}\n{text}", en["output"]) for en, (text, _) in asked]
            ),
            "English prompt on a text in it, answer in it": flagged(
                [(f"{en['instruction']}\n{text}", other) for en, (text, other) in asked]
            ),
        }
        for name, share in found.items():
            print(f"{code} {name:<50} {share:6.3f}")
    print(json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    main()
