"""Pages link to files that lie beside docs/ (`../cluster/README.md`), so that they can be read in a checkout too.

For the site such a file is a page, or a file, at its own path in the repository; so each is written once, where it
belongs. A link to a folder has no page there and becomes plain words. MkDocs calls both functions (``hooks`` in
mkdocs.yml).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = "docs/"
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add every file beside docs/ that a page links to, and those that the added pages link to."""
    waiting = [file.src_uri for file in files if file.src_uri.endswith(".md")]
    while waiting:
        page = waiting.pop()
        for target in _links(_in_repository(page)):
            place = _in_site(target)
            if files.get_file_from_path(place) is None and (ROOT / target).is_file():
                files.append(File.generated(config, place, abs_src_path=str(ROOT / target)))
                waiting += [place] if place.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the repository as links between pages of the site."""
    here = page.file.src_uri
    if not here.endswith(".md"):
        return markdown

    def of_site(link: re.Match[str]) -> str:
        words, address, anchor = link.group(1), link.group(2), link.group(3) or ""
        target = _target(_in_repository(here), address)
        if target is None:
            return link.group()
        if (ROOT / target).is_dir():
            return words
        return f"[{words}]({posixpath.relpath(_in_site(target), posixpath.dirname(here) or '.')}{anchor})"

    return LINK.sub(of_site, markdown)


def _links(page: str) -> Iterator[str]:
    """The files of the repository that one of its pages links to."""
    for _, address, _ in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        if (target := _target(page, address)) is not None:
            yield target


def _target(page: str, address: str) -> str | None:
    """The path in the repository that a page's link means; None for the address of something elsewhere."""
    if ":" in address:
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), address))


def _in_repository(place: str) -> str:
    """The path in the repository of a page of the site."""
    return DOCS + place if (ROOT / DOCS / place).exists() else place


def _in_site(path: str) -> str:
    """The place in the site of a file of the repository. The README says what the first page says."""
    return "index.md" if path == "README.md" else path.removeprefix(DOCS)
