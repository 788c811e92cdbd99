"""The records of a run: log.jsonl and TensorBoard event files, written without TensorFlow."""

import errno
import json
import os
import sys
import time
import types
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from gradnet_tf.images.image_files import to_uint8
from gradnet_tf.utils.containers import is_number, parse_json
from gradnet_tf.utils.files import atomic_write, jsonable


def _rows_up_to(path: Path, step: int) -> list[str]:
    """Returns the lines of a log for steps up to `step`, without an incomplete last line."""
    kept = []
    for line in path.read_text("utf-8").splitlines():
        try:
            row = parse_json(line)
        except ValueError:
            continue
        if isinstance(row, dict) and is_number(row.get("step", 0), 0, step):
            kept.append(line)
    return kept


class RunLog:
    """Appends rows to log.jsonl; a resumed run drops rows after its step."""

    def __init__(self, workdir: str | os.PathLike, resume_step: int | None):
        """Args:
        workdir: the run's folder.
        resume_step: step of the checkpoint that the run resumes from, or `None` for a new run.
        """
        path = Path(workdir) / "log.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _rows_up_to(path, resume_step or 0) if path.exists() else []
        atomic_write(path, "".join(line + "\n" for line in kept))
        self._file = open(path, "ab", buffering=0)
        if resume_step is not None:
            self.write({"event": "resume", "step": resume_step})

    def write(self, row: dict) -> None:
        """Appends one JSON object atomically.

        Raises:
            OSError: the disk is full; the same row can be written again later.
        """
        line = (json.dumps(jsonable(row), allow_nan=False) + "\n").encode("utf-8")
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)
        except OSError:
            self._file.truncate(end)
            raise

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class NoRecords:
    """Replaces log, TensorBoard and progress line on workers without any."""

    def __getattr__(self, name: str):
        return lambda *_, **__: None


class TensorBoardLog:
    """Writes scalars and images for TensorBoard."""

    def __init__(self, workdir: str | os.PathLike):
        if "tensorflow" not in sys.modules:
            # TensorBoard's switch against importing TensorFlow, which would delay a run on JAX.
            switch = "tensorboard.compat.notf"
            sys.modules.setdefault(switch, types.ModuleType(switch))
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventFileWriter(os.path.join(workdir, "tensorboard"))

    def _add(self, value, step: int) -> None:
        summary = self._summary(value=[value])
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Writes one point of each curve."""
        for tag, value in values.items():
            self._add(self._summary.Value(tag=tag, simple_value=value), step)

    def settings(self, values: dict[str, object]) -> None:
        """Writes the settings of a run, as the page "Text" and for the page "HParams"."""
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        rows = [f"| {name} | {value} |" for name, value in values.items()]
        table = "\n".join(["| setting | value |", "|---|---|", *rows])
        text = self._summary.Value(tag="settings")
        text.metadata.plugin_data.plugin_name = "text"
        # 7 is TensorFlow's number for strings.
        text.tensor.CopyFrom(TensorProto(dtype=7, string_val=[table.encode("utf-8")]))
        self._add(text, 0)
        started = plugin_data_pb2.SessionStartInfo()
        for name, value in values.items():
            if isinstance(value, bool):
                started.hparams[name].bool_value = value
            elif isinstance(value, int | float):
                started.hparams[name].number_value = value
            elif isinstance(value, str):
                started.hparams[name].string_value = value
        data = plugin_data_pb2.HParamsPluginData(session_start_info=started)
        session = self._summary.Value(
            tag=metadata.SESSION_START_INFO_TAG,
            metadata=metadata.create_summary_metadata(data),
            tensor=metadata.NULL_TENSOR,
        )
        self._add(session, 0)

    def image(self, tag: str, image: np.ndarray, step: int) -> None:
        """Writes a picture: uint8 H×W×3, RGB."""
        encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
        height, width = image.shape[:2]
        picture = self._summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=encoded
        )
        self._add(self._summary.Value(tag=tag, image=picture), step)

    def bars(self, tag: str, edges: Sequence[float], heights: Sequence[float], step: int) -> None:
        """Writes a histogram of given heights: bar i is between edges i and i + 1."""
        value = self._summary.Value(tag=tag)
        histogram = value.histo
        histogram.min, histogram.max, histogram.num = edges[0], edges[-1], sum(heights)
        # TensorBoard's first bar has no left edge, so an empty bar comes first.
        histogram.bucket_limit.extend(edges)
        histogram.bucket.extend([0.0, *heights])
        self._add(value, step)

    def close(self) -> None:
        """Flushes and closes the file."""
        self._writer.close()


def panel(images: list[np.ndarray]) -> np.ndarray:
    """Returns float H×W×C images of one size, [0, 1], side by side as uint8 RGB."""
    columns = []
    for image in images:
        image = np.clip(image, 0.0, 1.0)
        columns.append(np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image)
    return to_uint8(np.concatenate(columns, axis=1))
