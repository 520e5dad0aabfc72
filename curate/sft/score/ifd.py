"""Instruction-following difficulty: how much less a prompt helps with its answer, `--score ifd:FOLDER`.

IFD = ppl(A|Q) / ppl(A), the ratio of perplexities by a small causal language model, as Superfiltering has it (arXiv
2402.00530, GPT-2). (Cherry LLM, arXiv 2308.12032, divides the mean losses instead; the two orders differ.) The larger,
the harder the answer is to guess from its prompt. A ratio of 1 or more says that the prompt does not help: such rows
are dropped as `score.ifd`, as there.

Decided here: Q is the prompt and a line break, without a template. The answer is tokenised by itself and cut where
prompt and answer fill the model's window (at most 1,024 tokens). Without a prompt the first token of the answer has
nothing before it and is not counted. A row has no score where fewer than two tokens of the answer are left.

A model that does not know a language gives ratios that mean little. What it knows cannot be asked, but a tokenizer that
takes more than one token for a character was not made for the language (GPT-2's on Chinese): such rows are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from curate.report.progress import Advance
from curate.sft.embed._torch import Tokens
from curate.sft.score import Model, Scorer, Scores, open_model, run_model

MAX_TOKENS = 1024  # Superfiltering's
UNKNOWN_SHARE = 0.01  # of the rows in a language that the tokenizer was not made for: above it a warning (our choice)


def load(folder: Path, *, device: str, workers: int, on_progress: Advance) -> Scorer:
    """Return the scorer of the causal language model in `folder`. Raises CurateError when it cannot be loaded."""
    opened = open_model("ifd", folder, "AutoModelForCausalLM", "a causal language model", MAX_TOKENS, device)
    return partial(_score, opened, workers, on_progress)


def _score(opened: Model, workers: int, on_progress: Advance, prompts: Sequence[str], answers: Sequence[str]) -> Scores:
    model, tokenizer, limit, about = opened
    texts = [orjson.dumps(pair).decode() for pair in zip(prompts, answers, strict=True)]
    losses = []
    for alone in (False, True):
        loss, cut = run_model(
            texts, partial(_tokenize, tokenizer, limit, alone), partial(_mean_loss, model),
            device=about["device"], workers=workers, on_progress=on_progress,
        )  # fmt: skip
        losses.append(loss)
    lengths = tokenizer(list(answers), add_special_tokens=False, verbose=False)["input_ids"]
    unknown = sum(len(ids) > len(answer) for ids, answer in zip(lengths, answers, strict=True))
    notes = []
    if unknown > UNKNOWN_SHARE * len(texts):
        notes.append(
            f"{about['name']} takes more tokens than characters for {unknown:,} answers: its tokenizer was not made "
            "for their language, and their scores mean little"
        )
    counts = {"rows": len(texts), "truncated_rows": int(cut.sum()), "unknown_language_rows": unknown}
    return Scores(np.exp(losses[0] - losses[1]), about | counts, notes)


def _tokenize(tokenizer: Any, limit: int, alone: bool, texts: list[str]) -> list[Tokens]:
    """Tokenise prompt and answer, or the answer alone, cut as it is behind its prompt; `scored` marks the answer."""
    pairs = [orjson.loads(text) for text in texts]
    encode = partial(tokenizer, add_special_tokens=False, padding=False, verbose=False)
    before = encode([f"{prompt}\n" for prompt, _ in pairs])["input_ids"]
    after = encode([answer for _, answer in pairs])["input_ids"]
    rows = []
    for prompt, answer in zip(before, after, strict=True):
        kept = answer[: max(0, limit - len(prompt))]
        ids = [] if len(kept) < 2 else kept if alone else [*prompt, *kept]
        scored = np.arange(len(ids)) >= max(1, len(ids) - len(kept))
        rows.append(Tokens(len(kept) < len(answer), {"input_ids": np.array(ids, dtype=np.int64), "scored": scored}))
    return rows


def _mean_loss(model: Any, features: dict[str, Any]) -> Any:
    """Return the mean loss of the tokens that are scored, rows × 1."""
    import torch

    ids, scored = features["input_ids"], features["scored"][:, 1:]
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    rows = zip(logits, ids, strict=True)  # row by row: logits are the largest thing here
    loss = torch.stack(
        [torch.nn.functional.cross_entropy(row[:-1].float(), to[1:], reduction="none") for row, to in rows]
    )
    return ((loss * scored).sum(dim=1) / scored.sum(dim=1))[:, None]
