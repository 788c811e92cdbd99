"""`gradnet denoise`: its options, and how they become a call of `denoise_files`."""

import argparse
import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.runtimes.choose_runtime import PRECISIONS, RUNTIMES
from gradnet_tf.tiling.tile_config import POOLINGS, TileConfig, parse_memory, parse_tile
from gradnet_tf.utils.command import OutputStream
from gradnet_tf.utils.console import inform, quiet
from gradnet_tf.utils.errors import EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.files import require_writable, sha256_of
from gradnet_tf.utils.framework_start import quick_start
from gradnet_tf.utils.options import add_options, make_config, option

if TYPE_CHECKING:
    from gradnet_tf.cli.denoise_plan import FileOptions, Plan
    from gradnet_tf.loading.load import ModelInfo, Resolved


@dataclasses.dataclass(frozen=True)
class ResultOptions:
    """Options that determine the results; shared by `gradnet denoise` and batch inference.

    Attributes:
        model: a name, or the path of a run or an exported file; auto is the default weights, or
            those for real noise where a picture has a camera's noise; with a name, gray pictures
            use the gray weights of that name if there are any.
        trust_model: run a SavedModel although its graph has operations that read or write files,
            run scripts or reach other machines; parts of a graph run when it is loaded.
        runtime: runtime for the shipped weights: keras (TensorFlow or JAX), litert (needs no
            TensorFlow and starts faster), openvino, compiled (LiteRT on an NPU or a GPU, for
            exported files of one tile size only), or auto (of what is installed; keras where there
            is a GPU).
        precision: float32, bfloat16 (openvino, keras), int8 (litert), or auto: the fastest that is
            installed, that the processor does well, and that costs at most 0.1 dB.
        strength: 0 changes nothing, 1 denoises fully; up to 2 for models that take a noise level.
        luma: strength for brightness only.
        chroma: strength for color only.
        sigma: noise level, standard deviation on the 0-255 scale, for models that take one
            (default: estimated for each picture).
        self_ensemble: average over the eight flips; slightly better and eight times slower.
        tile: side of the tiles of large pictures in pixels, auto or whole; does not change the
            result (default: auto, depending on the memory).
        overlap: pixels that tiles share, for .tflite files of one size from elsewhere without a
            card that says it.
        pooling: the area that the network's attention averages over: whole (the whole picture,
            which has to fit into memory), crops (of pictures above 160x160 pixels; better on some
            real noise), or auto (whole up to half a megapixel).
        max_memory: memory limit for --tile=auto, such as 1.5GB (default: 2GB if it suffices).
        quality: quality of JPEG and of lossy WebP and AVIF (default: as the input, at least 90).
        overwrite: replace existing results instead of skipping them.
        max_megapixels: refuse larger pictures.
    """

    model: str = "auto"
    trust_model: bool = False
    runtime: str = option("auto", choices=RUNTIMES)
    precision: str = option("auto", choices=PRECISIONS)
    strength: float = option(1.0, least=0.0, most=2.0)
    luma: float = option(1.0, least=0.0, most=1.0)
    chroma: float = option(1.0, least=0.0, most=1.0)
    sigma: float | None = option(None, least=0.0, most=255.0)
    self_ensemble: bool = False
    tile: int | str = option("auto", parse=parse_tile, metavar="auto|whole|N")
    overlap: int | None = option(None, least=0)
    pooling: str = option("auto", choices=POOLINGS)
    max_memory: int | None = option(None, parse=parse_memory, metavar="SIZE")
    quality: int | None = option(None, least=1, most=100)
    overwrite: bool = False
    max_megapixels: float = option(MAX_MEGAPIXELS, least=1e-6, most=1e6)

    @property
    def tiles(self) -> TileConfig:
        """How pictures are cut into tiles and pooled."""
        return TileConfig(self.tile, self.max_memory, self.pooling, self.overlap)

    @property
    def changes_nothing(self) -> bool:
        """Whether valid files are copied byte for byte."""
        return self.strength == 0.0 or self.luma == self.chroma == 0.0

    @property
    def takes_level(self) -> bool:
        """Whether these options need a model that takes the noise level."""
        return self.sigma is not None or self.strength > 1.0

    def load(
        self,
        on_tile: Callable[[int, int], None] | None = None,
        model: "Resolved | None" = None,
    ) -> Callable[[Any], Any]:
        """Loads the model; returns a function from a photograph's pixels to denoised pixels.

        Its attribute `used` is that of the `Denoiser`.

        Args:
            on_tile: see `Denoiser.__call__`.
            model: what `self.model` means, if it has been resolved already.

        Raises:
            UserError: there is no such model, or it does not take the given noise level.
        """
        from gradnet_tf.denoiser import load_denoiser

        takes_level, tiles = self.takes_level, self.tiles
        if model and model.choice.note:
            inform(model.choice.note)
        # LiteRT imports neither Keras nor TensorFlow, so there is nothing to speed up.
        with contextlib.nullcontext() if model and model.choice.file else quick_start():
            denoiser = load_denoiser(
                model or self.model,
                precision=self.precision,
                runtime=self.runtime,
                trust_model=self.trust_model,
            )
        if takes_level and not denoiser.needs_sigma:
            self.refuse_level(denoiser.name)
        denoise = functools.partial(
            denoiser,
            strength=self.strength,
            sigma=self.sigma,
            luma=self.luma,
            chroma=self.chroma,
            self_ensemble=self.self_ensemble,
            tiles=tiles,
            on_tile=on_tile,
        )
        denoise.used = denoiser.used
        return denoise

    def refuse_level(self, name: str) -> NoReturn:
        """Raises the error for `takes_level` with the model `name`, which takes no noise level."""
        if self.sigma is not None:
            raise UserError(
                f"--sigma={self.sigma:g}: {name} takes no noise level. Leave the flag out."
            )
        raise UserError(
            f"--strength={self.strength:g}: more than 1 is for models that take a noise level, and "
            f"{name} takes none. Expected 0 to 1."
        )


@dataclasses.dataclass(frozen=True)
class DenoiseOptions:
    """Options of `gradnet denoise` only, in addition to `ResultOptions`.

    Attributes:
        inputs: file, folder, quoted pattern, or - for standard input to standard output.
        output: folder for the results, which keep the names of the inputs; required, except with
            - as the input.
        no_recursive: skip the subfolders of an input folder.
        dry_run: print what would be done, without doing it.
        jobs: number of files in flight; reading and writing overlap with the network, and the
            results do not change.
        report: write an HTML page that shows every picture before and after.
        preview: write no results but NAME_preview.png: a crop at 100% with several strengths.
        detail: put back this share of fine texture where the image gradient shows some.
        mask: picture of the photographs' size that limits the work: white is denoised, black kept.
        quiet: print only warnings, failures and errors.
    """

    inputs: tuple[str, ...] = option(positional=True, metavar="INPUT")
    output: str | None = option(None, metavar="DIR", short="-o")
    no_recursive: bool = False
    dry_run: bool = False
    jobs: int = option(1, least=1, most=64, metavar="N")
    report: str | None = option(None, metavar="FILE.html")
    preview: bool = False
    detail: float = option(0.0, least=0.0, most=1.0)
    mask: str | None = option(None, metavar="FILE")
    quiet: bool = False


def add_denoise(commands) -> argparse.ArgumentParser:
    """Adds the command to argparse subcommands; returns its parser."""
    denoise = commands.add_parser(
        "denoise",
        help="denoise photographs: files, folders, patterns",
        description="Denoises photographs (JPEG, PNG, TIFF, WebP, AVIF, BMP, PNM; 8 bits, 16 bits, "
        "float); no noise is ever added. Bit depth, alpha, EXIF, color profile, resolution and "
        "text are kept.",
    )
    for options in (DenoiseOptions, ResultOptions):
        add_options(denoise, options, dashes=True)
    return denoise


def denoise(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code.

    Args:
        arguments: parsed by the parser of `add_denoise`.

    Raises:
        UserError: wrong arguments or inputs, before any work begins.
        Interrupted: see `denoise_files`.
    """
    if not arguments.quiet:
        return _denoise(arguments)
    with quiet(), open(os.devnull, "w") as nowhere:
        # A picture that goes to standard output is no message.
        stream = sys.stdout if arguments.inputs == ["-"] else OutputStream(nowhere)
        with contextlib.redirect_stdout(stream):
            return _denoise(arguments)


def _denoise(arguments: argparse.Namespace) -> int:
    from gradnet_tf.cli.denoise_files import denoise_files, denoise_stream
    from gradnet_tf.cli.denoise_plan import FileOptions, dry_run, plan_jobs
    from gradnet_tf.loading.load import model_info, resolve

    is_stream = arguments.inputs == ["-"]
    _check_paths(arguments, is_stream)
    wanted = make_config(ResultOptions, arguments)
    if not is_stream:
        plan = plan_jobs(arguments.inputs, arguments.output, not arguments.no_recursive)
    model = resolve(wanted.model, wanted.runtime, wanted.precision, trusted=wanted.trust_model)
    info = model_info(model)
    settings = _settings(wanted, info, model.choice.precision)
    load = functools.partial(wanted.load, model=model)
    _check_sigma(wanted, info)
    if arguments.preview or arguments.detail or arguments.mask:
        from gradnet_tf.steering.texture import read_steering, steered

        steering = None
        if arguments.detail or arguments.mask:
            steering = read_steering(arguments.detail, arguments.mask, wanted.max_megapixels)
        if arguments.preview:
            # The sheet blends and steers itself.
            load = functools.partial(dataclasses.replace(wanted, strength=1.0).load, model=model)
        else:
            load = steered(load, steering)
        settings |= {"detail": arguments.detail, "mask": arguments.mask}
    if arguments.mask:
        settings["mask_sha256"] = sha256_of(arguments.mask)
    options = FileOptions(
        changes_nothing=wanted.changes_nothing,
        quality=wanted.quality,
        overwrite=wanted.overwrite,
        max_megapixels=wanted.max_megapixels,
        jobs=arguments.jobs,
        waiting_memory=wanted.max_memory and wanted.max_memory / 4,
        settings=settings,
    )
    if arguments.preview:
        from gradnet_tf.steering.preview_sheet import write_previews

        require_writable(plan.folder, f"--output={plan.folder}")
        plan.tell()
        limits = wanted.overwrite, wanted.max_megapixels
        found = write_previews(plan.jobs, load, *limits, steering)
        return EXIT_SOME_FAILED if plan.failures else found
    if is_stream:
        return denoise_stream(sys.stdin.buffer, sys.stdout.buffer, load, options)
    report = _report(arguments, plan, options)
    if arguments.dry_run:
        return dry_run(plan, wanted.overwrite, settings)
    if report:
        require_writable(os.path.dirname(arguments.report) or ".", f"--report={arguments.report}")
    _check_unloaded(wanted, info, plan)
    return denoise_files(plan, load, options, report)


def _settings(wanted: ResultOptions, info: "ModelInfo | None", precision: str) -> dict[str, Any]:
    """Returns the settings that determine the pixels of a result."""
    model = {
        "model": info.name if info else wanted.model,
        "sha256": info.sha256 if info else None,
        "gray": info.gray if info else None,
    }
    if info and info.camera:
        model["camera"] = info.camera
        model["camera_sha256"] = info.sums.get(info.camera)
    if info and info.gray:
        model["gray_sha256"] = info.sums.get(info.gray)
    names = ("strength", "luma", "chroma", "sigma", "self_ensemble", "pooling", "quality")
    names += ("overlap",) if wanted.overlap is not None else ()
    settings = model | {name: getattr(wanted, name) for name in names}
    # Float32 is what results without this entry were made in.
    return settings if precision == "float32" else settings | {"precision": precision}


def _check_paths(arguments: argparse.Namespace, is_stream: bool) -> None:
    if arguments.preview and (is_stream or arguments.report or arguments.dry_run):
        raise UserError("--preview: not allowed with - as INPUT, --report or --dry-run.")
    if is_stream:
        for flag, value in (("output", arguments.output), ("report", arguments.report)):
            if value not in (None, "-"):
                raise UserError(
                    f"--{flag}={value}: not allowed with - as INPUT. Leave the flag out."
                )
        if getattr(sys.stdout, "is_closed", False):
            raise UserError("standard output is closed, so there is nowhere to write the result.")
        if arguments.dry_run:
            raise UserError("--dry-run: not allowed with - as INPUT. Leave the flag out.")
        if sys.stdout.isatty():
            raise UserError(
                "standard output is a terminal, which cannot show the result's bytes.\n"
                "Send them to a file: gradnet denoise - < noisy.png > denoised.png"
            )
        return
    if "-" in arguments.inputs:
        raise UserError(
            "INPUT: - (standard input) must be the only input. Received: others as well."
        )
    if arguments.output is None:
        raise UserError(
            "--output: expected a folder for the results. Received: nothing. "
            "For example: gradnet denoise noisy.jpg --output denoised"
        )


def _check_sigma(wanted: ResultOptions, info: "ModelInfo | None") -> None:
    """Refuses options that need a noise level if the model is known to take none."""
    if wanted.takes_level and info and info.needs_sigma is False:
        wanted.refuse_level(info.name)


def _check_unloaded(wanted: ResultOptions, info: "ModelInfo | None", plan: "Plan") -> None:
    """Loads a model that the run would not load, if only loading shows whether the flags fit."""
    known = info and (not wanted.takes_level or info.needs_sigma is not None)
    skips_all = not wanted.overwrite and all(os.path.lexists(job.target) for job in plan.jobs)
    if not known and skips_all and not wanted.changes_nothing:
        wanted.load()


def _report(arguments, plan: "Plan", options: "FileOptions"):
    if arguments.report is None:
        return None
    from gradnet_tf.cli.folder_report import DenoiseReport, check_report_path

    path, command = check_report_path(arguments.report, plan), ["gradnet", *sys.argv[1:]]
    return DenoiseReport(path, plan, options.settings, command, options.max_megapixels)
