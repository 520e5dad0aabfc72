"""The story of `curate report`: the page of a finished directory, made anew from what lies in it; nothing is measured.

Decided here:
- A file is read only if it is what the manifest says, so that a page tells nothing that no run wrote.
- The page appears under its name by a rename, and the manifest with its new hash by the next, both under the lock that
  runs take. A rebuild that is killed leaves the old page; killed between the two renames, `curate verify` calls the
  page `changed` until it is rebuilt once more.
- The plan in the page of a count is calculated again, from the tokens and the options in report.json. Where the laws of
  this version give another plan than the run had, that is an error, and not a page at odds with its report.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.config import as_text, option, resolve
from curate.corpus.config import TokensConfig
from curate.data.lock import beside, locked
from curate.errors import CurateError, UsageError
from curate.report.names import printable
from curate.verify import file_status, inside

PAGE = "report.html"
_STILL = "The page that was there is still there."


@dataclass(frozen=True)
class ReportConfig:
    """What `curate report` can be told."""

    open: bool = option("open the page in the browser", flag=True)


def rebuild(directory: str) -> dict[str, Any]:
    """Write report.html of a finished directory anew; return `directory`, `page` and its `bytes`.

    Raises UsageError for a directory without a manifest or of a command without a page, CurateError where a file is
    not what its run wrote, was written by another version, or cannot be replaced.
    """
    from curate.data.manifest import read_manifest

    place = Path(directory)
    read_manifest(place)  # a wrong directory is told before a lock is put beside it
    with locked(place, _STILL):
        manifest = read_manifest(place)
        if manifest["command"] not in _PAGES:
            raise UsageError(
                f"{directory} is of curate {printable(manifest['command'])}, which writes no page",
                "Give a directory that curate select or curate tokens wrote with --out.",
            )
        html = _page(place, manifest).encode()
        _replace(place, manifest, html)
    return {"directory": as_text(directory), "page": as_text(os.path.join(directory, PAGE)), "bytes": len(html)}


def render(result: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return a heading and a line, for people."""
    return [(printable(result["page"]), [f"made anew from what lies beside it, {result['bytes'] / 1e6:.1f} MB"])]


# -- The page ----------------------------------------------------------------------------------------------------------


def _page(place: Path, manifest: Mapping[str, Any]) -> str:
    import orjson
    import polars as pl

    def read(name: str) -> bytes:
        facts = manifest["outputs"].get(name)
        status = "not in its manifest" if facts is None else file_status(inside(place, name), facts)
        if status != "ok":
            raise CurateError(
                f"{place / name} is {status}, and the page is made from it",
                "curate verify tells what else is not as its run wrote it; run the command again, with --force.",
            )
        return (place / name).read_bytes()

    try:
        return _PAGES[manifest["command"]](orjson.loads(read("report.json")), read)
    except (
        LookupError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError, pl.exceptions.PanicException
    ) as error:  # fmt: skip
        raise CurateError(
            f"the page needs what {place} does not hold ({type(error).__name__}: {error})",
            f"Use curate {manifest['versions'].get('curate')}, which wrote it, or run the command again, with --force.",
        ) from error


def _of_selection(report: Mapping[str, Any], read: Callable[[str], bytes]) -> str:
    from curate.data.tables import read_parquet
    from curate.report.select_page import select_page

    ledger, points = (read_parquet(read(name)) for name in ("ledger.parquet", "map.parquet"))
    return select_page(report, ledger, points)


def _of_count(report: Mapping[str, Any], _: Callable[[str], bytes]) -> str:
    from curate.corpus.enough import enough_body, plan_of
    from curate.report.tokens_page import tokens_page

    plan = plan_of(report, resolve(TokensConfig, [("report.json", report["config"])])[0])
    if (None if plan is None else plan.to_json()) != report["plan"]:
        raise ValueError("its plan follows other laws")
    return tokens_page(report, "" if plan is None else enough_body(report, plan))


_PAGES = {"select": _of_selection, "tokens": _of_count}


# -- Its place ---------------------------------------------------------------------------------------------------------


def _replace(place: Path, manifest: dict[str, Any], html: bytes) -> None:
    """Put the page and the manifest that has its hash in the place of the old ones."""
    from curate.data.manifest import MANIFEST, file_sha256, write_json

    real = Path(os.path.realpath(place))
    scratch = beside(real, f"partial-{os.getpid()}")  # a run removes what a killed rebuild leaves
    try:
        try:
            scratch.mkdir()
            (scratch / PAGE).write_bytes(html)
            facts = {"sha256": file_sha256(scratch / PAGE), "bytes": len(html)}
            write_json(scratch / MANIFEST, {**manifest, "outputs": {**manifest["outputs"], PAGE: facts}})
            for name in (PAGE, MANIFEST):
                (scratch / name).replace(place / name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise CurateError(f"cannot write {place / PAGE}: {error.strerror}", _STILL) from error
