"""Image files as callers send them, good and bad, and small SavedModels to send them to."""

import base64
import http.client
import io
import json
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from gradnet_tf.models import FFDNet
from gradnet_tf.models.base import build_model


def pixels(height, width, channels=3, dtype=np.uint8, seed=0):
    """Random pixels (H, W, C), or (H, W) for 1 channel."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, True)


def encode(array, format="PNG", **options):
    """Encodes uint8 (H, W) grey, (H, W, 2) grey with alpha, RGB or RGBA through Pillow."""
    target = io.BytesIO()
    Image.fromarray(array).save(target, format, **options)
    return target.getvalue()


def encode_16(array):
    """Encodes uint16 (H, W) or (H, W, 3 or 4) as PNG."""
    order = {2: slice(None), 3: [2, 1, 0], 4: [2, 1, 0, 3]}[
        2 if array.ndim == 2 else array.shape[2]
    ]
    turned = array if array.ndim == 2 else array[..., order]
    return cv2.imencode(".png", turned)[1].tobytes()


def decode(data):
    """Decodes a PNG: (H, W) or (H, W, 3 or 4) in RGB order, uint8 or uint16."""
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found.ndim == 2:
        return found
    return found[..., [2, 1, 0, 3][: found.shape[2]]]


def files(*contents):
    """An array of objects that are bytes, as the signature `encoded` takes it."""
    array = np.empty(len(contents), object)
    array[:] = list(contents)
    return array


def chunk(kind, content):
    """A chunk of a PNG."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(width=3, height=2, before=b"", rows=None):
    """A grey PNG, with chunks before its pixels; `rows` decides how many are really there."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    stored = zlib.compress(bytes((width + 1) * (height if rows is None else rows)))
    parts = [chunk(b"IHDR", header), before, chunk(b"IDAT", stored), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def huge_jpeg(side=30000):
    """A small JPEG whose header claims side × side pixels."""
    data = encode(pixels(37, 31), "JPEG")
    return data.replace(struct.pack(">HH", 37, 31), struct.pack(">HH", side, side), 1)


def cmyk_jpeg():
    """A JPEG of four channels."""
    target = io.BytesIO()
    Image.fromarray(pixels(37, 31)).convert("CMYK").save(target, "JPEG")
    return target.getvalue()


def animated_png():
    """A PNG of two pictures."""
    target = io.BytesIO()
    first, second = (Image.fromarray(pixels(9, 7, seed=seed)) for seed in (1, 2))
    first.save(target, "PNG", save_all=True, append_images=[second])
    return target.getvalue()


def packed_text_png(count=200):
    """A PNG of some kB for each chunk of text that unpacks to 7.9 MB."""
    text = chunk(b"zTXt", b"key\0\0" + zlib.compress(b"x" * 7_900_000, 9))
    return png(before=text * count)


def many_scans_jpeg(count=300):
    """A progressive JPEG whose last scan comes again and again."""
    data = encode(pixels(16, 16, 1), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    return data[:start] + data[start:-2] * count + data[-2:]


#: What must be refused, with a part of the message. Limits are those of `LIMITS`.
BAD_FILES = {
    "empty": (b"", "Received: 0 bytes of something else"),
    "junk": (b"junk" * 9, "expected a PNG or JPEG file. Received: 36 bytes"),
    "a GIF": (b"GIF89a" + bytes(40), "expected a PNG or JPEG file"),
    "a PNG's first bytes": (png()[:20], "expected a PNG or JPEG file"),
    "a PNG cut short": (encode(pixels(37, 31))[:-600], "Invalid PNG data"),
    "a PNG without its end": (encode(pixels(37, 31))[:-12], "Invalid PNG data"),
    "a PNG of no width": (png(width=0), "Received: 0 x 2 (width x height)"),
    "a PNG of 30000x30000": (png(30000, 30000, rows=1), "Received: 30000 x 30000"),
    "a PNG of all pixels": (png(2**32 - 1, 2**32 - 1, rows=0)[:200], "Received: 4294967295 x"),
    "a PNG full of text": (packed_text_png(), "at most 16 chunks of compressed text"),
    "an animation": (animated_png(), "an animated PNG"),
    "a JPEG's first bytes": (b"\xff\xd8\xff" + bytes(40), "Invalid JPEG data"),
    "a JPEG's header": (encode(pixels(37, 31), "JPEG")[:300], "Invalid JPEG data"),
    "a JPEG cut short": (encode(pixels(37, 31), "JPEG")[:-300], "Uncompress failed"),
    "a JPEG of 30000x30000": (huge_jpeg(), "Received: 30000 x 30000"),
    "a CMYK JPEG": (cmyk_jpeg(), "expected a gray or RGB JPEG. Received: 4 channels"),
    "a JPEG of many scans": (many_scans_jpeg(), "at most 100 scans. Received: 3"),
}


def tiny_ffdnet():
    """A network that is told the noise level, with a visible dependence on it."""
    model = build_model(FFDNet(num_layers=2, filters=16, predicts="noise"))
    model.reconstruction.kernel.assign(model.reconstruction.kernel * 100)
    return model


def b64(data):
    """Bytes as JSON of TF Serving's REST interface has them."""
    return {"b64": base64.b64encode(data).decode()}


def ask_rest(port, path, body=None, raw=None):
    """Status and JSON of a REST request to this machine: a POST of `body` or `raw`, else a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    connection.request("GET" if data is None else "POST", path, data)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found
