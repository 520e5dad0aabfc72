"""Options: parsing, layers and their order, errors."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest

from curate import config
from curate.config import option, parse_bytes, parse_fraction, parse_number, parse_share, parse_whole, resolve
from curate.errors import UsageError
from curate.sft.config import SelectConfig


@pytest.mark.parametrize(
    ("text", "value"),
    [("7B", 7e9), ("1.5e9", 1.5e9), ("20T", 20e12), ("260", 260), ("1_000", 1000), ("100K", 1e5), ("2.5m", 2.5e6)],
)
def test_sizes_are_exact_decimals(text, value):
    """Counts accept the field's units, which are powers of ten."""
    assert parse_number(text) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "value"), [("2GB", 2 << 30), ("512MiB", 512 << 20), ("1000", 1000), ("16m", 16 << 20)]
)
def test_byte_sizes(text, value):
    """Sizes of memory accept KB, MB, GB as powers of 1,024."""
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["0", "2", "nan", "inf", "-0.1", "half", ""])
def test_fraction_refuses_what_is_no_share(text):
    """A fraction is above 0 and at most 1, and a number."""
    with pytest.raises(ValueError, match=r"should be|is not"):
        parse_fraction(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("0.00", 0), ("1", 1), ("-0.1", None), ("1.1", None)])
def test_share_may_be_nought(text, value):
    """A share is 0 to 1, however nought is written."""
    if value is None:
        with pytest.raises(ValueError, match="should be 0 to 1"):
            parse_share(text)
    else:
        assert parse_share(text) == value


@pytest.mark.parametrize("text", ["0", "1.5", "-3", "x", "nan", "3Q"])
def test_whole_refuses(text):
    """A count is a whole number of at least one."""
    with pytest.raises(ValueError, match=r"should be|is not|unit"):
        parse_whole(text)


@dataclass(frozen=True)
class Small:
    """Three options."""

    size: int = option("a size", default=1, parse=parse_whole)
    names: tuple[str, ...] = option("names", default=(), many=True)
    loud: bool = option("be loud", flag=True)


def test_the_strongest_layer_wins_and_is_remembered():
    """Flags beat the environment, which beats the file, which beats the default."""
    layers = [("flag", {"size": "3"}), ("environment", {"size": "4", "names": "a, b"}), ("f.toml", {"loud": True})]
    small, origins = resolve(Small, layers)
    assert small == Small(3, ("a", "b"), True)
    assert origins == {"size": "flag", "names": "environment", "loud": "f.toml"}
    assert resolve(Small, [])[1]["size"] == "default"


def test_unknown_option_offers_the_nearest():
    """A misspelt option is an error that names what is meant."""
    with pytest.raises(UsageError, match="size"):
        resolve(Small, [("argument", {"sise": 3})])


def test_a_bad_value_names_option_layer_and_meaning():
    """The message says which option, which value, why, from where, and what it is for."""
    with pytest.raises(UsageError) as caught:
        resolve(Small, [("environment", {"size": "zero"})])
    assert caught.value.what == "--size zero: is not a number (from environment)"
    assert "a size" in caught.value.hint


def test_environment_variables_are_named_after_options():
    """CURATE_FRACTION is --fraction."""
    assert config.environment(SelectConfig, {"CURATE_FRACTION": "0.1", "PATH": "x"}) == {"fraction": "0.1"}


def test_toml_tables(tmp_path):
    """A file's table holds the options of its command, with dashes or underscores; a wrong key is an error."""
    path = tmp_path / "c.toml"
    path.write_text('[select]\nfraction = 0.005\ntask-column = "t"\nmap = {instruction = "q"}\n')
    table = config.toml_table(str(path), "select", SelectConfig)
    select, _ = resolve(SelectConfig, [(str(path), table)])
    assert select.fraction == Decimal("0.005")
    assert select.task_column == "t"
    assert select.columns == {"instruction": "q"}
    path.write_text("[select]\nfractoin = 1\n")
    with pytest.raises(UsageError) as caught:
        config.toml_table(str(path), "select", SelectConfig)
    assert "fraction" in caught.value.hint
    path.write_text("fraction = 0.005\n[select]\n")
    with pytest.raises(UsageError, match="fraction stands outside of a table"):
        config.toml_table(str(path), "select", SelectConfig)
    path.write_text("[selct]\nfraction = 0.005\n")
    with pytest.raises(UsageError, match=r"there is no table \[select\]"):
        config.toml_table(str(path), "select", SelectConfig)
    path.write_text("[select\n")
    with pytest.raises(UsageError, match="not valid TOML"):
        config.toml_table(str(path), "select", SelectConfig)
    with pytest.raises(UsageError, match="No such file"):
        config.toml_table(str(tmp_path / "none.toml"), "select", SelectConfig)


@pytest.mark.parametrize("options", [{}, {"fraction": 0.1, "count": 3}])
def test_one_budget_is_wanted(options):
    """Exactly one of fraction, count and budget_tokens is given."""
    with pytest.raises(UsageError, match=r"not said|exclude"):
        resolve(SelectConfig, [("argument", options)])


def test_a_stronger_layer_settles_options_that_exclude_each_other():
    """--count on the command line wins over fraction in a file; in one layer both are an error."""
    layers = [("flag", {"count": "3"}), ("f.toml", {"fraction": "0.1", "tau": "2"})]
    select, origins = resolve(SelectConfig, layers)
    assert (select.count, select.fraction, select.tau) == (3, None, 2)
    assert origins["fraction"] == "default"


@pytest.mark.parametrize("text", ["1e30", "1e999999"])
def test_numbers_that_no_file_can_hold_are_refused(text):
    """Whole numbers, seeds and sizes fit 64 bits, whatever they are later written to."""
    for parse in (parse_whole, config.parse_seed, parse_bytes):
        with pytest.raises(ValueError, match="at most"):
            parse(text)
