"""Recipes and other TOML of strangers: steps, or a refusal with a message; nothing is run here."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curate.config import resolve, toml_table
from curate.recipe import read_recipe
from curate.sft.config import SelectConfig
from tests.fuzz.hostile import HERE, damaged, fuzz, put, survives

RECIPE = b"""out = "out/lima"
[set]
pool = "pool.jsonl"
count = 1_000
[[step]]
name = "tokens"
run = "tokens"
inputs = ["{pool}"]
params = "1.3B"
weights = {web = 0.6, books = 0.4}
[[step]]
name = "se"
run = "source stackexchange"
inputs = "dumps/"
min-score = 3
[[step]]
run = "select"
inputs = ["{tokens}/x", "{se}"]
count = "{count}"
filters = ["clean", "lima.length=1:2"]
tau = 3.0
center = true
"""
# Values of TOML that are none of the above.
_STRANGE = st.sampled_from(
    ('""', "nan", "inf", "-1", "1e400", "[[]]", "{}", "true", "1979-05-27", "'{out}'", "'{pool}{tokens}'", "'../../x'",
     "'/etc'", "'\\u0000'", '"\\u0000"', "[1, 'a', {b = 2}]", "9" * 30, "'{'", "'nul\x00'")
)  # fmt: skip
_KEYS = (b"run", b"name", b"out", b"inputs", b"set", b"step", b"x", b'"a.b"', b"config", b"force")


@st.composite
def recipes(draw: st.DrawFn) -> bytes:
    """Return a recipe in which some lines are gone, stand twice, or have other values."""
    lines = RECIPE.splitlines()
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[at].partition(b" = ")
        match draw(st.sampled_from(("drop", "again", "value", "value", "value", "key", "header"))):
            case "drop":
                del lines[at : at + 1]
            case "again":
                lines.insert(draw(st.integers(0, len(lines))), lines[at])
            case "value" if equals:
                lines[at] = key + equals + draw(_STRANGE).encode()
            case "key" if equals:
                lines[at] = draw(st.sampled_from(_KEYS)) + lines[at][len(key) :]
            case "header" if not equals:
                lines[at] = draw(st.sampled_from((b"[set]", b"[step]", b"[[step]]", b"[[set]]", b"[step.x]", b"[x]")))
        if not lines:
            break
    return b"\n".join(lines)


@fuzz
@given(
    recipes() | damaged([RECIPE]),
    st.lists(st.sampled_from(("pool=x", "out=/", "tokens.params=-1", "=", "a=", "x.y=z", "select.count=0"))),
)
def test_recipes(data, changes):
    """A recipe of any content gives steps below its directory, or is refused."""
    path = put("recipe.toml", data)
    found = survives(lambda: read_recipe(path, changes))
    if found is not None:
        out, steps = found
        assert steps
        for step in steps:
            assert step.out.parent == out
            assert all(isinstance(given, str) for given in step.inputs)


@fuzz
@given(damaged([b'[select]\ncount = 5\nfilters = ["clean"]\ntau = 2.0\nout = "x"\n[tokens]\nparams = "1B"\n']))
def test_config_files(data):
    """A --config of any content is options or refused."""
    path = put("config.toml", data)
    survives(lambda: resolve(SelectConfig, [("flag", {"count": 3}), (path, toml_table(path, "select", SelectConfig))]))


def test_a_case_leaves_nothing_outside():
    """Reading recipes writes nothing."""
    assert not (HERE / "out").exists()
