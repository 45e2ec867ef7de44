"""MkDocs hook: files of the repository that lie outside docs/ as pages, and links that work on the site and beside it.

In the repository a link leads to a file, as it does on a repository host. On the site it leads to that file's page; a
link to a file that has no page, as to source code, becomes plain text. A link to nothing stays, and fails the build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# page of the site → file of the repository
PAGES = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "docker.md": "docker/README.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    from mkdocs.structure.files import File

    for page, source in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages."""
    return site_links(markdown, page.file.src_uri)


def site_links(markdown: str, page: str) -> str:
    """The text of a page, with its links as the site needs them.

    Parameters
    ----------
    page : name of the page on the site, as `index.md`.
    """
    source = PAGES.get(page, f"docs/{page}")

    def moved(link: re.Match[str]) -> str:
        image, text, target = link.groups()
        path, hash_, anchor = target.partition("#")
        if not path or "://" in target or target.startswith("mailto:"):
            return link[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        found = next((name for name, of in PAGES.items() if of == file), None)
        if found is None and file.startswith("docs/"):
            found = file.removeprefix("docs/")
        if found is None:
            return text if (ROOT / file).exists() else link[0]
        return f"{image}[{text}]({posixpath.relpath(found, posixpath.dirname(page) or '.')}{hash_}{anchor})"

    return LINK.sub(moved, markdown)
