"""Builds the static page from its sources, LiteRT.js, an exported network and a sample picture.

python -m demo.web.build --card=exported/NAME_float16_tile256.json --output=out/web_demo

The page loads nothing from other hosts.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from datasets.commands.noisy_photo import write_noisy_photo
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import sha256_of, write_json
from gradnet_tf.utils.options import ArgumentParser, path_argument
from gradnet_tf.utils.ownership import MANIFEST, foreign_in, read_object, record_folder

HERE = Path(__file__).resolve().parent
#: Where `npm ci` installs the packages of package.json.
PACKAGES = HERE / "node_modules"
#: WebAssembly files of the runtime: plain, with threads, for browsers without relaxed SIMD.
WASM = ("litert_wasm_internal", "litert_wasm_threaded_internal", "litert_wasm_compat_internal")


def build(card: Path, output: Path, packages: Path = PACKAGES) -> None:
    """Writes the page into `output`, completely or not at all; replaces an earlier page.

    Args:
        card: JSON card beside a fixed-tile .tflite file; or a folder with one such card.
        output: folder of the page.
        packages: node_modules with @litertjs/core.

    Raises:
        UserError: the card or the packages are missing or invalid, or `output` contains other
            files than a page.
    """
    card = _find_card(card)
    described = _read_card(card)
    _require_page(output, card)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=output.parent) as folder:
        page = Path(folder) / "page"
        shutil.copytree(HERE / "page", page)
        # The licence of both the project and the runtime.
        shutil.copy(HERE.parents[1] / "LICENSE", page)
        _copy_runtime(packages, page / "litert")
        (page / "models").mkdir()
        for path in (card, card.with_name(described["file"])):
            shutil.copy(path, page / "models")
        write_noisy_photo(str(page / "sample.png"), sigma=25.0)
        config = json.loads((HERE / "config.json").read_text(encoding="utf-8"))
        # Part of an address, in which letters such as # have a meaning.
        config |= {"card": f"models/{quote(card.name)}", "sample": "sample.png"}
        write_json(page / "config.json", config)
        record_folder(page)
        # Moved aside and checked there, where no other process adds files.
        earlier = Path(folder) / "earlier"
        _require_page(output, card)
        if output.exists():
            output.rename(earlier)
        try:
            if earlier.exists():
                _require_page(earlier, card, output)
            page.rename(output)
        except BaseException:
            if earlier.exists() and not output.exists():
                earlier.rename(output)
            raise


def _require_page(folder: Path, card: Path, output: Path | None = None) -> None:
    """Raises a `UserError` unless `folder` is missing, empty, or contains only a page.

    `card` is an input, which must not be in it; `output` is the name of the folder in messages.
    """
    output = output or folder
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"--output={output}: expected a folder. Received: a file or a link.")
    if not folder.is_dir():
        return
    if folder.resolve() in card.resolve().parents:
        raise UserError(
            f"--output={output}: contains the input {card}, and inputs are never deleted.\n"
            "Use another folder."
        )
    foreign = foreign_in(folder)
    if foreign and not (folder / MANIFEST).exists():
        foreign = sorted(set(foreign) - _earlier_page(folder))
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise UserError(
            f"--output={output}: contains other files than a page's "
            f"({', '.join(foreign[:3])}{more}), which would be deleted.\n"
            "Use a new or empty folder, or move them away."
        )


def _earlier_page(folder: Path) -> set[str]:
    """Returns the file names of a page from a version without manifests."""
    config = read_object(folder / "config.json")
    model, sample = config.get("card"), config.get("sample")
    model = unquote(model) if isinstance(model, str) else model
    if (
        sample != "sample.png"
        or not isinstance(model, str)
        or Path(model).parts[:-1] != ("models",)
    ):
        return set()
    names = {path.name for path in (HERE / "page").iterdir()}
    names |= {"config.json", "LICENSE", sample, model}
    names |= {"litert/core.js", "litert/wasm-utils.js", "litert/NOTICE.json"}
    names |= {f"litert/wasm/{name}{suffix}" for name in WASM for suffix in (".js", ".wasm")}
    file = read_object(folder / model).get("file")
    if isinstance(file, str) and Path(file).name == file:
        names.add(f"models/{file}")
    return {name for name in names if not (folder / name).is_symlink()}


def _find_card(path: Path) -> Path:
    """Returns the card itself, or the only card with a tile in a folder."""
    if not path.is_dir():
        return path
    found = sorted(path.glob("*_tile*.json"))
    if len(found) != 1:
        names = ", ".join(each.name for each in found) or "none"
        raise UserError(f"--card={path}: expected one card *_tile*.json there. Received: {names}.")
    return found[0]


def _read_card(path: Path) -> dict:
    try:
        card = read_json(path)
    except FileNotFoundError:
        raise UserError(
            f"--card={path}: no such file. `python -m export` writes it beside a .tflite file."
        ) from None
    except ValueError as error:
        raise UserError(f"--card={path}: not JSON: {error}") from error
    fixed = isinstance(card, dict) and card.get("tile") and "attention" in card.get("inputs", {})
    if not fixed:
        raise UserError(
            f"--card={path}: expected the card of a file with a fixed tile and a signature "
            f"`attention`. Received: format {card.get('format') if fixed is not False else None}."
        )
    try:
        shapes = dict(card["inputs"]["serving_default"])
        colors = shapes["images"]["shape"][-1]
    except (KeyError, TypeError, ValueError, IndexError):
        raise UserError(f"--card={path}: names no shape of its input `images`.") from None
    if colors != 3 or "sigma" in shapes:
        raise UserError(
            f"--card={path}: the page is for color networks that are told no noise level. "
            f"Received: {colors} channels{', told the level' if 'sigma' in shapes else ''}."
        )
    file = card.get("file")
    if not isinstance(file, str) or not file or Path(file).name != file:
        raise UserError(f"--card={path}: names no file beside it. Received: {file!r}.")
    if not path.with_name(file).is_file():
        raise UserError(f"--card={path}: {file} is not beside it.")
    if sha256_of(path.with_name(file)) != card.get("sha256"):
        raise UserError(
            f"--card={path}: {file} is not the file that the card describes.\nExport it again."
        )
    return card


def _copy_runtime(packages: Path, target: Path) -> None:
    """Copies the required files of @litertjs/core, with a notice."""
    core, utilities = packages / "@litertjs/core", packages / "@litertjs/wasm-utils"
    if not (core / "package.json").is_file():
        raise UserError(f"{packages}: contains no @litertjs/core. Run: npm ci --prefix demo/web")
    (target / "wasm").mkdir(parents=True)
    for name in WASM:
        for suffix in (".js", ".wasm"):
            shutil.copy(core / "wasm" / (name + suffix), target / "wasm")
    shutil.copy(utilities / "dist/index.js", target / "wasm-utils.js")
    # Workers do not support import maps, so the import by package name is replaced by a path.
    text = (core / "dist/index.js").read_text(encoding="utf-8")
    named, placed = 'from "@litertjs/wasm-utils"', 'from "./wasm-utils.js"'
    if named not in text:
        raise UserError(f"{core}: not the version in demo/web/package.json.")
    (target / "core.js").write_text(text.replace(named, placed), encoding="utf-8")
    package = json.loads((core / "package.json").read_text(encoding="utf-8"))
    notice = {key: package[key] for key in ("name", "version", "license", "repository")}
    write_json(target / "NOTICE.json", notice)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and builds the page; returns the exit code."""
    parser = ArgumentParser(prog="python -m demo.web.build", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--card", type=path_argument, required=True, help="card of a fixed-tile file"
    )
    parser.add_argument("--output", type=path_argument, required=True, help="folder for the page")
    options = parser.parse_args(arguments)
    build(options.card, options.output)
    print(f"{options.output}: the page, with {options.card.name}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
