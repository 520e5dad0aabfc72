"""The public names of `curate`."""

from __future__ import annotations

import curate


def test_every_public_name_is_there():
    """Each name in `__all__` can be had, and nothing else pretends to be public."""
    for name in curate.__all__:
        assert getattr(curate, name) is not None
    assert set(curate._HOMES) | {"__version__"} == set(curate.__all__)


def test_an_unknown_name_is_an_attribute_error():
    """Lazy loading does not hide a misspelling."""
    assert not hasattr(curate, "select_row")


def test_modules_and_functions_do_not_collide():
    """No public function has the name of a submodule that importing would put in its place."""
    import pkgutil

    assert not {module.name for module in pkgutil.iter_modules(curate.__path__)} & set(curate.__all__)
