"""What the page does, written a second time in Python: one .tflite file in windows, by LiteRT."""

import json
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from gradnet_tf.tiling.tiler import spans


def crop_corners(height: int, width: int, side: int) -> list[tuple[int, int]]:
    """Returns (top, left) of the crops for the vectors: the R2 sequence's first points."""
    sides = min(side, height), min(side, width)
    area = max(4, height * width // (sides[0] * sides[1]))
    count = min(128, max(32, height * width // 2**15), area)
    steps = 0.7548776662466927, 0.5698402909980532
    places = np.mod(0.5 + np.arange(count)[:, None] * steps, 1)
    room = np.subtract((height, width), sides) + 1
    return [tuple(place) for place in np.floor(places * room).astype(int).tolist()]


def denoise_in_windows(card_path: Path, image: np.ndarray) -> np.ndarray:
    """Denoises uint8 (H, W, 3) with the file of a card; returns uint8 (H, W, 3)."""
    card = json.loads(card_path.read_text(encoding="utf-8"))
    interpreter = Interpreter(model_path=str(card_path.with_name(card["file"])), num_threads=2)
    denoise = interpreter.get_signature_runner("serving_default")
    attention = interpreter.get_signature_runner("attention")
    crop = int(attention.get_input_details()["images"]["shape"][1])
    tile, halo = card["tile"], card["halo"]
    size = tile + 2 * halo
    height, width = image.shape[:2]
    # Windows reach beyond small pictures, and a pixel beyond those of odd sides.
    more = [(0, max(size, side + 1) - side) for side in (height, width)]
    picture = np.pad(image.astype(np.float32) / 255, [*more, (0, 0)], mode="symmetric")[None]
    corners = crop_corners(height, width, crop)
    found = [attention(images=picture[:, y : y + crop, x : x + crop]) for y, x in corners]
    vectors = {name: np.mean([one[name] for one in found], axis=0) for name in found[0]}
    result = np.empty((height, width, 3), np.float32)
    block = 1 if (tile | halo) % 2 else 2
    for row in spans(height, tile, halo, block, fixed=True):
        for column in spans(width, tile, halo, block, fixed=True):
            window = picture[:, row.start : row.start + size, column.start : column.start + size]
            output = denoise(images=window, **vectors)["denoised"][0]
            result[row.first : row.last, column.first : column.last] = output[
                row.first - row.start : row.last - row.start,
                column.first - column.start : column.last - column.start,
            ]
    return np.rint(result * 255).astype(np.uint8)
