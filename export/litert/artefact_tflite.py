"""TFLite files as artefacts: each written beside its place, judged, then moved."""

from export.formats import TFLiteFormat
from export.job import Job, Row, measurements, quality_of, row_of, write_card
from export.litert.tflite import list_operations, write_tflite
from export.verify import checks, measure
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.runtimes.litert_runtime import TFLiteRunner
from gradnet_tf.tiling.tiler import facts_of
from gradnet_tf.utils.files import atomic_path, sha256_of
from gradnet_tf.utils.quiet import quiet_native_logs


def export_tflite(job: Job, format: TFLiteFormat) -> Row:
    """Writes OUTPUT/NAME_PRECISION[_tileN].tflite and its card.

    Raises:
        CheckFailed: it is not what Keras computes, or costs more decibels than allowed;
            what was at the place before stays.
        UserError: the network has no such file.
    """
    stem = f"{job.name}_{format.suffix}"
    facts = tile_facts(job.denoiser.model, format)
    with atomic_path(job.output / f"{stem}.tflite") as path:
        with quiet_native_logs():
            model = job.int8_network() if format.precision == "int8" else job.denoiser.model
            side = format.tile and format.tile + 2 * facts["halo"]
            write_tflite(model, path, format.precision, side)
            runner = TFLiteRunner(path, card=facts)
        # Outside of the quiet block, so that a failure shows its figures and nothing else.
        checked = checks.check_tflite(stem, runner, job.denoiser, format)
        with quiet_native_logs():
            quality = quality_of(job, Denoiser(runner, stem))
            latency = measure.tflite_latency(path)
            operations = list_operations(path)
            inputs, outputs = measure.tflite_signatures(path)
        sha256, size = sha256_of(path), path.stat().st_size
    size_of_latency = [side] * 2 if side else list(measure.LATENCY_SIZE)
    measured = {
        **measurements(size, checked, quality, latency),
        **facts,
        "latency_size": size_of_latency,
        "operations": operations,
    }
    place = job.output / f"{stem}.json"
    write_card(job, place, f"{stem}.tflite", sha256, format.name, inputs, outputs, measured)
    return row_of(f"{stem}.tflite", measured)


def tile_facts(model, format: TFLiteFormat) -> dict:
    """Returns what a card tells of tiles: `tile`, `halo`, `block` and `bytes_per_pixel`.

    The margin of a file of one size is rounded up to whole blocks, since its
    windows begin on one.
    """
    facts = facts_of(model)
    halo = facts.halo
    if format.tile:
        halo = -(-halo // facts.block) * facts.block
    return {
        "tile": format.tile,
        "halo": halo,
        "block": facts.block,
        "bytes_per_pixel": facts.bytes_per_pixel,
    }
