"""A hook of mkdocs: README as the first page, and files of the repository that pages link to as files of the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
SHIM, WORKER = "https://unpkg.com/iframe-worker/shim", "offline_worker.js"
OUTSIDE = "repository"
"""The folder of the site for what lies outside docs/."""
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages of the site that lie outside docs/."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie elsewhere, and every file that a page links to and the site would lack."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    for page in [file for file in files if file.src_uri.endswith(".md")]:
        for target in linked(page):
            inside = sorted(path for path in target.iterdir() if path.is_file()) if target.is_dir() else [target]
            for path in inside:
                name = site_name(path)
                if files.get_file_from_path(name) is None or not files.get_file_from_path(name).inclusion.is_included():
                    files.append(File.generated(config, name, abs_src_path=str(path)))
            if target.is_dir() and files.get_file_from_path(site_name(target)) is None:
                names = "\n".join(f"- [{path.name}]({posixpath.basename(site_name(path))})" for path in inside)
                content = f"# {target.relative_to(ROOT).as_posix()}\n\n{names}\n"
                files.append(File.generated(config, site_name(target), content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to where their files are in the site."""
    # lists of folders are written with their places in the site
    if page.file.abs_src_path is None:
        return markdown

    def moved(found: re.Match[str]) -> str:
        target = target_of(page.file, found[1])
        if target is None:
            return found[0]
        here = posixpath.dirname(page.file.src_uri) or "."
        return f"]({posixpath.relpath(site_name(target), here)}{found[2] or ''})"

    return LINK.sub(moved, markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Take the worker of a search without a server from here, and not from elsewhere."""
    return output.replace(SHIM, posixpath.relpath(WORKER, posixpath.dirname(page.file.dest_uri) or "."))


def on_post_template(output: str, template_name: str, **_: Any) -> str:
    """The same for what is no page, as the one of addresses that are not there."""
    return output.replace(SHIM, WORKER)


def linked(page: File) -> list[Path]:
    """The files and folders that a page links to, other pages left out."""
    found = [target_of(page, match[1]) for match in LINK.finditer(Path(str(page.abs_src_path)).read_text("utf-8"))]
    return [target for target in dict.fromkeys(found) if target is not None and target.suffix != ".md"]


def target_of(page: File, address: str) -> Path | None:
    """The file or folder of the repository that a page's address means; None for one elsewhere, or not there."""
    if re.match(r"[a-z]+:|//|<", address):
        return None
    target = (Path(str(page.abs_src_path)).parent / address).resolve()
    return target if target.exists() and target.is_relative_to(ROOT) else None


def site_name(target: Path) -> str:
    """Where a file is in the site: pages in their place, README as the index; a folder is a page that lists it."""
    inside = target.relative_to(ROOT).as_posix()
    if inside in PAGES:
        return PAGES[inside]
    if inside.startswith("docs/") and inside.endswith(".md"):
        return inside.removeprefix("docs/")
    if target.is_dir():
        return f"{OUTSIDE}/{inside}/index.md"
    # a file without an ending is one to read
    return f"{OUTSIDE}/{inside}" if target.suffix else f"{OUTSIDE}/{inside}.txt"
