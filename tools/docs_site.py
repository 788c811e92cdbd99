"""A hook of MkDocs (`mkdocs.yml`): README.md as the first page, the API reference, the navigation.

No page is written twice: the start page and the changelog are the repository's own files, with
their links changed to those of the site, and the reference is made of the docstrings.
"""

import re
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import gradnet_tf  # noqa: E402  imports no framework
from gradnet_tf import models  # noqa: E402

#: The navigation; pages that no group lists come under "More".
GROUPS = {
    "Denoise": ["denoise", "noise", "steering", "photo_files", "batch"],
    "Python": ["python", "api"],
    "Train": [
        *(
            "training",
            "watching",
            "datasets",
            "dataset_sources",
            "free_photos",
            "degradations",
            "recipes",
        ),
        "input",
    ],
    "Several machines": ["scale", "scale_costs", "jax", "reliability"],
    "Deploy": [
        *("serving", "serving_reference", "mobile", "mobile_clients", "web", "runtimes"),
        *("precision", "arm64", "startup"),
    ],
    "Results": [
        *("results", "does_it_pay", "paper", "paper_sources", "performance", "protocols"),
        "submissions",
    ],
    "Inside": ["architecture", "decisions", "changelog"],
}
#: Beside the names of `gradnet_tf` itself.
MODULES = ("gradnet_tf.denoiser.Strength", "gradnet_tf.weights.preset_folder")
_GENERATED = {"index.md": "README.md", "changelog.md": "CHANGELOG.md"}


def on_config(config):
    """Sets the navigation from the pages that there are."""
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"api", "changelog"}
    listed = {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, "More": sorted(pages - listed - {"index"})}
    config.nav = ["index.md"] + [
        {title: [f"{name}.md" for name in names if name in pages]}
        for title, names in groups.items()
        if set(names) & pages
    ]
    return config


def on_files(files, config):
    """Adds the pages that are not files of docs/."""
    for name, source in _GENERATED.items():
        text = site_links((ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, "api.md", content=api_page()))
    return files


def on_page_markdown(markdown, page, config, files):
    """Changes links that lead out of docs/, or to a folder, which only GitHub shows."""
    markdown = re.sub(r"\[([^\]]+)\]\(studies/\w+\)", r"\1", markdown)
    return markdown.replace("](../README.md", "](index.md").replace(
        "](../CHANGELOG.md", "](changelog.md"
    )


def site_links(text: str) -> str:
    """Changes the links of a page at the repository's root to those of the site."""
    # A folder is no page: the notebooks are listed on that of Python.
    text = text.replace("](docs/notebooks)", "](python.md)")
    text = text.replace("](docs/", "](").replace("](CHANGELOG.md)", "](changelog.md)")
    # Other files of the repository are not part of the site.
    return re.sub(r"\[([^\]]+)\]\((?:LICENSE|CITATION\.cff)\)", r"\1", text)


def api_page() -> str:
    """Returns the page of the public names; mkdocstrings fills in their docstrings."""
    places = {
        name: f"{home}.{models._HOMES[name]}" if home == "gradnet_tf.models" else home
        for name, home in gradnet_tf._HOMES.items()
    }
    names = [f"{place}.{name}" for name, place in places.items()] + list(MODULES)
    intro = (
        "# API reference\n\n`from gradnet_tf import …` gives the names on this page, unless a "
        "longer path is shown. [From Python](python.md) shows them in use.\n"
    )
    return intro + "".join(f"\n::: {name}\n" for name in names)
