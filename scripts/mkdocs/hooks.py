"""MkDocs hooks: the pages at the root of the repository become part of the site, and links work in both places.

Links are written for readers of the Markdown in the repository. In the site, README.md, CONTRIBUTING.md and CHANGELOG.md are
beside the pages of docs/. A link to a file that is not a page (a manifest, a licence) becomes its path, as code; it must exist.
"""

import os
import re

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def on_files(files, config):
    for name in ROOT_PAGES:
        path = os.path.join(ROOT, name)
        files.append(File.generated(config, name, abs_src_path=path))
    return files


def on_page_markdown(markdown, page, config, files):
    name = page.file.src_uri
    # Where the page is in the repository.
    here = os.path.dirname(name) if name in ROOT_PAGES else os.path.join("docs", os.path.dirname(name))

    def rewrite(match):
        text, target, anchor = match.group(1), match.group(2), match.group(3) or ""
        if not target or re.match(r"[a-z]+:", target):
            return match.group(0)
        path = os.path.normpath(os.path.join(here, target))
        if path in ROOT_PAGES:
            page_path = path
        elif path.startswith("docs/") and path.endswith(".md"):
            page_path = path[len("docs/"):]
        elif os.path.exists(os.path.join(ROOT, path)):
            return f"{text} (`{path}`)" if text.strip("`") != path else f"`{path}`"
        else:
            raise PluginError(f"{name}: there is no {path}")
        return f"[{text}]({os.path.relpath(page_path, os.path.dirname(name) or '.')}{anchor})"

    # Not in fenced code, where brackets are something else.
    parts = re.split(r"(^ *```.*?^ *```$)", markdown, flags=re.M | re.S)
    return "".join(part if part.lstrip().startswith("```") else LINK.sub(rewrite, part) for part in parts)
