"""Stack Exchange sites: the name of a dump's site, its group and its address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from curate.errors import UsageError

GROUPS = ("stem", "other")
_TABLE = Path(__file__).with_name("stackexchange_sites.toml")
_DOMAINS = {
    "askubuntu": "askubuntu.com",
    "mathoverflow": "mathoverflow.net",
    "serverfault": "serverfault.com",
    "stackapps": "stackapps.com",
    "stackoverflow": "stackoverflow.com",
    "superuser": "superuser.com",
}
_FILE_ENDS = re.compile(r"[-_.]?posts(\.xml)?(\.gz|\.zst)?$", re.I)


def load_groups(path: str | None) -> dict[str, str]:
    """Return the group of each site, from our table or the one at `path`. Raises UsageError where that is no table."""
    file = Path(path) if path else _TABLE
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--sites {path}: {error.strerror}", "Give the path of a TOML file.") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--sites {path} is not valid TOML: {error}", "Mend the file at the place named.") from None
    lists = all(isinstance(sites, list) and all(isinstance(site, str) for site in sites) for sites in table.values())
    if not lists or not set(table) <= set(GROUPS):
        raise UsageError(f"--sites {path}: two lists of names are wanted", 'stem = ["physics"] and other = ["cooking"]')
    groups = {site: group for group in GROUPS for site in table.get(group, [])}
    if len(groups) < sum(map(len, table.values())):
        raise UsageError(f"--sites {path}: a site stands there twice", "Leave it in one place.")
    return groups


def site_of(path: Path) -> str:
    """Return the site that a dump is named after: `physics_Posts.xml.gz`, or `Posts.xml` in a folder of that name.

    Raises UsageError where neither name tells one.
    """
    name = _FILE_ENDS.sub("", path.name)
    if name == path.name or not name:
        name = path.resolve().parent.name
    site = re.sub(r"\.stackexchange(?:\.com)?$|\.(?:com|net)$", "", name.lower().replace("_", "."))
    if not re.fullmatch(r"[a-z0-9]+(?:\.[a-z0-9]+)*", site):
        raise UsageError(f"{path}: neither file nor folder is named after a site", "Say which it is: --site physics")
    return site


def answer_url(site: str, answer: int) -> str:
    """Return the address of an answer."""
    language, _, network = site.rpartition(".")
    domain = _DOMAINS.get(network, f"{network}.stackexchange.com")
    return f"https://{language}{'.' if language else ''}{domain}/a/{answer}"
