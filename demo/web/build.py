"""Puts the static page together: its sources, LiteRT.js, one exported network, a sample picture.

python -m demo.web.build --card=exported/NAME_float16_tile256.json --output=out/web_demo

The folder that comes out needs no other host than the one that serves it.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from datasets.commands.noisy_photo import write_noisy_photo
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import write_json
from gradnet_tf.utils.options import ArgumentParser
from gradnet_tf.utils.ownership import MANIFEST, foreign_in, read_object, record_folder

HERE = Path(__file__).resolve().parent
#: Where `npm ci` puts the packages of package.json.
PACKAGES = HERE / "node_modules"
#: Of the runtime's WebAssembly files: plain, with threads, for browsers without relaxed SIMD.
WASM = ("litert_wasm_internal", "litert_wasm_threaded_internal", "litert_wasm_compat_internal")


def build(card: Path, output: Path, packages: Path = PACKAGES) -> None:
    """Writes the page into `output`, whole or not at all; an earlier page there is replaced.

    Args:
        card: JSON card of a fixed-tile .tflite file, which lies beside it; or a folder that
            holds one such card.
        output: folder of the page.
        packages: node_modules with @litertjs/core.

    Raises:
        UserError: the card or the packages are missing or of another kind, or `output`
            holds something else than a page, beside it or in its place.
    """
    card = _find_card(card)
    described = _read_card(card)
    _require_page(output, card)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=output.parent) as folder:
        page = Path(folder) / "page"
        shutil.copytree(HERE / "page", page)
        # The text of Apache-2.0 goes along: it is the project's licence and the runtime's.
        shutil.copy(HERE.parents[1] / "LICENSE", page)
        _copy_runtime(packages, page / "litert")
        (page / "models").mkdir()
        for path in (card, card.with_name(described["file"])):
            shutil.copy(path, page / "models")
        write_noisy_photo(str(page / "sample.png"), sigma=25.0)
        config = json.loads((HERE / "config.json").read_text(encoding="utf-8"))
        config |= {"card": f"models/{card.name}", "sample": "sample.png"}
        write_json(page / "config.json", config)
        record_folder(page)
        # Moved aside first and looked at there, where nobody else puts anything into it.
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
    """Raises unless a folder may be replaced: absent, empty, or a page and nothing else.

    Args:
        folder: what to look at.
        card: an input, which must not lie there.
        output: what messages call the folder.

    Raises:
        UserError: names the files that are no page's.
    """
    output = output or folder
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"--output={output}: expected a folder. Received: a file or a link.")
    if not folder.is_dir():
        return
    if folder.resolve() in card.resolve().parents:
        raise UserError(
            f"--output={output}: holds the input {card}, and inputs are never deleted.\n"
            "Name another folder."
        )
    foreign = foreign_in(folder)
    if foreign and not (folder / MANIFEST).exists():
        foreign = sorted(set(foreign) - _earlier_page(folder))
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise UserError(
            f"--output={output}: holds other files than a page's ({', '.join(foreign[:3])}{more}), "
            "which would be deleted.\nName a new or an empty folder, or move them away."
        )


def _earlier_page(folder: Path) -> set[str]:
    """Returns the names of a page that was written before pages had a manifest."""
    config = read_object(folder / "config.json")
    model, sample = config.get("card"), config.get("sample")
    if (
        sample != "sample.png"
        or not isinstance(model, str)
        or Path(model).parts[:-1] != ("models",)
    ):
        return set()
    names = {path.relative_to(HERE / "page").as_posix() for path in _files(HERE / "page")}
    names |= {"config.json", "LICENSE", sample, model}
    names |= {"litert/core.js", "litert/wasm-utils.js", "litert/NOTICE.json"}
    names |= {f"litert/wasm/{name}{suffix}" for name in WASM for suffix in (".js", ".wasm")}
    file = read_object(folder / model).get("file")
    if isinstance(file, str) and Path(file).name == file:
        names.add(f"models/{file}")
    return {name for name in names if not (folder / name).is_symlink()}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _find_card(path: Path) -> Path:
    """Returns the card itself, or the one with a tile of a folder's cards."""
    if not path.is_dir():
        return path
    found = sorted(path.glob("*_tile*.json"))
    if len(found) != 1:
        names = ", ".join(each.name for each in found) or "none"
        raise UserError(f"--card={path}: expected one card *_tile*.json there. Received: {names}.")
    return found[0]


def _read_card(path: Path) -> dict:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
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
    if not path.with_name(card["file"]).is_file():
        raise UserError(f"--card={path}: {card['file']} does not lie beside it.")
    return card


def _copy_runtime(packages: Path, target: Path) -> None:
    """Copies what a page loads of @litertjs/core, and says what it is."""
    core, utilities = packages / "@litertjs/core", packages / "@litertjs/wasm-utils"
    if not (core / "package.json").is_file():
        raise UserError(f"{packages}: holds no @litertjs/core. Run: npm ci --prefix demo/web")
    (target / "wasm").mkdir(parents=True)
    for name in WASM:
        for suffix in (".js", ".wasm"):
            shutil.copy(core / "wasm" / (name + suffix), target / "wasm")
    shutil.copy(utilities / "dist/index.js", target / "wasm-utils.js")
    # Workers know no import maps, so the one import by a package's name becomes one by path.
    text = (core / "dist/index.js").read_text(encoding="utf-8")
    named, placed = 'from "@litertjs/wasm-utils"', 'from "./wasm-utils.js"'
    if named not in text:
        raise UserError(f"{core}: another version than the one in demo/web/package.json.")
    (target / "core.js").write_text(text.replace(named, placed), encoding="utf-8")
    package = json.loads((core / "package.json").read_text(encoding="utf-8"))
    notice = {key: package[key] for key in ("name", "version", "license", "repository")}
    write_json(target / "NOTICE.json", notice)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and builds the page; returns the exit code."""
    parser = ArgumentParser(prog="python -m demo.web.build", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--card", type=Path, required=True, help="of a fixed-tile file, or its folder"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the page")
    options = parser.parse_args(arguments)
    build(options.card, options.output)
    print(f"{options.output}: the page, with {options.card.name}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
