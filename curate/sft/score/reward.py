"""The reward of an answer by any sequence classifier with one output, `--score reward:FOLDER`.

The model reads prompt and answer in the tokenizer's chat template where it has one, else as a pair of texts, as reward
models without a template were trained. Rows are cut at the model's window (at most 2,048 tokens) and counted.

A product of a matrix with one column is summed in an order that depends on the number of threads (the last bits of six
of 40 rewards differed between one and two); so the layer of one output is summed here, row by row in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from curate.errors import CurateError
from curate.report.progress import Advance
from curate.sft.embed._torch import Tokens
from curate.sft.score import Model, Scorer, Scores, open_model, run_model

MAX_TOKENS = 2048  # our choice
NO_PADDING = -1  # batches have none, so no token may be taken for it


def load(folder: Path, *, device: str, workers: int, on_progress: Advance) -> Scorer:
    """Return the scorer of the reward model in `folder`. Raises CurateError when it is none."""
    import torch

    name = "AutoModelForSequenceClassification"
    opened = open_model("reward", folder, name, "a sequence classifier", MAX_TOKENS, device)
    if opened.model.config.num_labels != 1:
        raise CurateError(
            f"{folder} has {opened.model.config.num_labels} outputs, and a reward model has one", "Give another model."
        )
    opened.model.config.pad_token_id = NO_PADDING
    for layer in opened.model.modules():
        if isinstance(layer, torch.nn.Linear) and layer.out_features == 1:
            layer.forward = partial(_row_by_row, layer)  # type: ignore[method-assign]
    return partial(_score, opened, workers, on_progress)


def _score(opened: Model, workers: int, on_progress: Advance, prompts: Sequence[str], answers: Sequence[str]) -> Scores:
    model, tokenizer, limit, about = opened
    values, cut = run_model(
        [orjson.dumps(pair).decode() for pair in zip(prompts, answers, strict=True)],
        partial(_tokenize, tokenizer, limit), lambda features: model(**features).logits,
        device=about["device"], workers=workers, on_progress=on_progress,
    )  # fmt: skip
    return Scores(values, about | {"rows": len(values), "truncated_rows": int(cut.sum())}, [])


def _row_by_row(head: Any, states: Any) -> Any:
    """Return what the linear layer `head` of one output gives, each row a sum of its own."""
    total = (states.double() * head.weight[0].double()).sum(dim=-1, keepdim=True)
    return (total if head.bias is None else total + head.bias.double()).to(states.dtype)


def _tokenize(tokenizer: Any, limit: int, texts: list[str]) -> list[Tokens]:
    rows = []
    for text in texts:
        prompt, answer = orjson.loads(text)
        if tokenizer.chat_template:
            chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
            words = tokenizer.apply_chat_template(chat, tokenize=False)
            found = tokenizer(words, add_special_tokens=False, padding=False, verbose=False)
        else:
            found = tokenizer(prompt, answer, padding=False, verbose=False)
        features = {name: np.array(ids[:limit], dtype=np.int64) for name, ids in found.items()}
        rows.append(Tokens(len(found["input_ids"]) > limit, features))
    return rows
