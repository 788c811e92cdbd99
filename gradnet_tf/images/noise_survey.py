"""Where a picture has noise, and what kind of noise: what decides how it is denoised.

Four questions are answered from the picture alone:

* Which parts have no noise at all? A frame, a passe-partout, a clipped sky or a white
  background says nothing about the noise of the rest, but the attention averages over all
  pixels and would take a noisy photograph in a black frame for a clean picture.
* Is there any noise in the other parts? Screenshots, text and drawings have none.
* Is the noise alike in all color channels, as in toned black and white, film grain, and after
  cameras that smooth color? Networks for color learn from independent noise and keep such noise
  as if it were texture.
* Is it a camera's noise? Demosaicking, smoothing of color and JPEG make the color noise of
  neighbors alike; networks that learn from white noise take it for texture.
"""

import dataclasses
import math

import cv2
import numpy as np

#: Side of the blocks in which noise is looked for, in pixels.
BLOCK = 8
#: Of the range [0, 1]: a block whose values differ by no more has no noise. One level of 255 is
#: allowed, because smooth gradients are rounded to levels.
_STILL = 1.001 / 255
#: A detail coefficient of at most this size counts as zero: half a level of 255, its quantum.
_ZERO_DETAIL = 0.501 / 255
#: In drawings, text and screenshots, also after JPEG, much is flat and much of the rest is calm.
_DRAWING_STILL, _DRAWING_CALM = 0.2, 0.25
#: The part of the noisy blocks, those with the least detail, in which noise is measured: the
#: others hold texture, which is alike in all channels, too.
_SMOOTHEST = 0.2
#: So many blocks away from flat parts suffice; with fewer, all noisy ones are measured.
_FEWEST_BLOCKS = 32
#: Blocks that are measured in a large picture.
_MOST_BLOCKS = 2**14
#: Noise counts as alike in all channels where so much of its energy lies in one direction of RGB.
#: Measured: white noise 0.33 to 0.42, gray noise 0.94 to 1, RENOIR's cameras 0.5 to 0.83.
_ALIKE_SHARE = 0.9
#: Levels of 255, along that direction, from which noise is treated so.
_ALIKE_LEVEL = 4.0
#: Texture is alike in all channels, too, but not equally strong everywhere: the 5% quantile of the
#: blocks' energies over the 20% quantile is 0.6 to 0.7 in noise, at most 0.53 in grass and leaves.
_LEAST, _EVEN = 0.05, 0.57
#: JPEG makes strong noise uneven. From this level on it is noise anyway: grass reaches 14.
_CERTAIN_LEVEL = 18.0
#: Camera noise: color noise correlates so much with the next pixel's. Measured: white noise from
#: σ = 5 on at most 0.07, PolyU 0.3 to 0.57, RENOIR 0.52 to 0.55, clean photographs 0.48 to 0.68.
_COARSE_COLOR = 0.2
#: Clean photographs have such color noise, too, but it is weak, in levels of 255, or finer: the
#: correlation with the pixel after the next is 0.08 to 0.24 in clean photographs of reduced size,
#: and 0.27 to 0.34 in JPEGs of cameras, which store color at half size.
_WEAK_COLOR, _HALF_SIZE_COLOR = 1.0, 0.24
#: From this level on no clean photograph was met.
_STRONG_COLOR = 2.0
#: Less, in levels of 255, is what rounding leaves of a gray picture of three channels.
_LEAST_COLOR = 1e-3
#: Color noise over brightness noise: in noise that is alike in all channels at most 0.23, in white
#: noise after JPEG at half color size 0.16 to 0.42, in RENOIR's JPEGs 0.74 to 0.83. The second kind
#: has both treatments, the third is not alike in all channels, however much of it is brightness.
_SOME_COLOR, _MUCH_COLOR = 0.25, 0.55
#: Blocks are compared with those of like brightness, because noise depends on it.
_BRIGHTNESS_GROUPS = 4


@dataclasses.dataclass(frozen=True)
class NoiseSurvey:
    """What `survey_noise` finds.

    Attributes:
        box: rows and columns that hold all noise; what lies outside is flat.
        still: bool (⌈h/8⌉, ⌈w/8⌉), the blocks of 8×8 pixels in the box without noise.
        flat_share: share of the blocks of the whole picture without noise, 0 to 1.
        noise_free: whether the other blocks have no noise either, so that nothing is to remove.
        tone: float32 (3,), the direction of RGB in which the noise is alike in all channels,
            of mean 1: (1, 1, 1) for gray noise, warmer for sepia; `None` where noise is not.
        is_camera: whether it is a camera's noise: color pictures only. Clean photographs may be
            taken for it where it is weak.
        is_strong_camera: whether a camera's noise is too strong for a clean photograph.
        still_share: share of the box without noise, 0 to 1.
        is_drawing: whether it is a drawing, a page of text, a screenshot or flat: there is
            nothing to remove.
    """

    box: tuple[slice, slice]
    still: np.ndarray
    flat_share: float
    noise_free: bool
    tone: np.ndarray | None
    is_camera: bool = False
    is_strong_camera: bool = False
    still_share: float = dataclasses.field(init=False)
    is_drawing: bool = dataclasses.field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "still_share", float(self.still.mean()))
        is_drawing = self.noise_free and self.flat_share >= _DRAWING_STILL
        object.__setattr__(self, "is_drawing", is_drawing)


def survey_noise(picture: np.ndarray) -> NoiseSurvey:
    """Looks for noise in a picture.

    Args:
        picture: (H, W, C) uint8, uint16 or float with nominal range [0, 1], C = 1 or 3.

    Returns:
        The survey. A picture of less than 16×16 pixels counts as noisy everywhere.
    """
    everything = slice(0, picture.shape[0]), slice(0, picture.shape[1])
    if min(picture.shape[:2]) < 2 * BLOCK:
        return NoiseSurvey(everything, np.zeros((1, 1), bool), 0.0, False, None)
    scale = 1.0 if picture.dtype.kind == "f" else 1.0 / np.iinfo(picture.dtype).max
    still = _still_blocks(picture, _STILL / scale)
    if still.all():
        return NoiseSurvey(everything, still, 1.0, True, None)
    flat_share = float(still.mean())
    box = everything
    if still[[0, -1]].all(1).any() or still[:, [0, -1]].all(0).any():
        box = _noisy_box(picture, still)
        picture = picture[box]
        still = _still_blocks(picture, _STILL / scale)
    height, width = picture.shape[:2]
    places = np.argwhere(~still[: height // BLOCK, : width // BLOCK])
    if len(places) < 2:
        return NoiseSurvey(box, np.zeros_like(still), flat_share, False, None)
    places = places[:: -(-len(places) // _MOST_BLOCKS)]
    blocks = _cut(picture, places).astype(np.float32) * np.float32(scale)
    details = _haar_details(blocks)
    calm, calm_half = (_calm_share(part) for part in (details, _haar_details(_half_size(blocks))))
    drawing = flat_share >= _DRAWING_STILL and calm >= _DRAWING_CALM
    noise_free = drawing or min(calm, calm_half) >= 0.5
    tone, is_camera, is_strong = None, False, False
    if picture.shape[2] == 3 and not drawing:
        core = _far_from_still(still, box != everything)[tuple(places.T)]
        if _FEWEST_BLOCKS <= np.count_nonzero(core) < len(core):
            blocks, details = blocks[core], details[core]
        tone = None if noise_free else _shared_tone(details)
        # A camera's smoothing and JPEG leave many details at zero, so this holds for calm ones too.
        is_camera, is_strong, color = _is_camera(blocks)
        if tone is not None:
            is_camera = is_strong = is_strong and color >= _SOME_COLOR
            tone = None if is_camera and color >= _MUCH_COLOR else tone
    return NoiseSurvey(box, still, flat_share, noise_free, tone, is_camera, is_strong)


def _is_camera(blocks: np.ndarray) -> tuple[bool, bool, float]:
    """Whether the color noise of blocks (N, 8, 8, 3) is that of a camera, and strong.

    The third result is the color noise as a multiple of the brightness noise.
    """
    if len(blocks) < _BRIGHTNESS_GROUPS:
        return False, False, 0.0
    gray = (blocks[..., 0] + blocks[..., 1] + blocks[..., 2]) / 3
    # What remains without the plane through each block is noise, and texture.
    texture = np.square(_without_plane(gray)).mean((1, 2))
    measured = []
    for group in np.array_split(np.argsort(gray.mean((1, 2))), _BRIGHTNESS_GROUPS):
        smooth = group[np.argsort(texture[group])[: max(_FEWEST_BLOCKS // 2, len(group) // 10)]]
        color = blocks[smooth] - gray[smooth, ..., np.newaxis]
        color = np.stack([_without_plane(color[..., channel]) for channel in range(3)], -1)
        energy = float(np.square(color).mean())
        if energy:
            first, second = (_neighbor_product(color, lag) / energy for lag in (1, 2))
            share = math.sqrt(energy / max(float(texture[smooth].mean()), energy / 100))
            measured.append((math.sqrt(energy) * 255, first, second, share))
    if not measured:
        return False, False, 0.0
    level, first, second, share = np.median(measured, axis=0)
    if level < _LEAST_COLOR:
        return False, False, 0.0
    found = first > _COARSE_COLOR and (level >= _WEAK_COLOR or second >= _HALF_SIZE_COLOR)
    return bool(found), bool(found and level >= _STRONG_COLOR), float(share)


def _without_plane(blocks: np.ndarray) -> np.ndarray:
    """Subtracts from each block (N, 8, 8) the plane that fits it best."""
    steps = np.arange(BLOCK, dtype=np.float32) - (BLOCK - 1) / 2
    planes = np.stack([np.ones((BLOCK, BLOCK)), *np.meshgrid(steps, steps)]).reshape(3, -1)
    planes = (planes / np.linalg.norm(planes, axis=1, keepdims=True)).astype(np.float32)
    values = blocks.reshape(len(blocks), -1)
    # Not `@`: the threads of OpenBLAS go on waiting for work for some 25 ms after a product, and
    # take a core from the network that runs next.
    parts = np.einsum("nk,pk->np", values, planes)
    return (values - np.einsum("np,pk->nk", parts, planes)).reshape(blocks.shape)


def _neighbor_product(values: np.ndarray, lag: int) -> float:
    """Returns the mean product of values (N, 8, 8, C) with those `lag` pixels on, both ways."""
    rows = values[:, :-lag] * values[:, lag:]
    columns = values[:, :, :-lag] * values[:, :, lag:]
    return float(rows.mean() + columns.mean()) / 2


def _far_from_still(still: np.ndarray, framed: bool) -> np.ndarray:
    """Returns which blocks have no still one within two blocks: JPEG blurs flat and noisy parts.

    Args:
        still: bool (h, w).
        framed: whether there are more still blocks outside of these.
    """
    padded = np.pad(still, 2, constant_values=framed)
    near = cv2.dilate(padded.astype(np.uint8), np.ones((5, 5), np.uint8))
    return near[2:-2, 2:-2] == 0


def _still_blocks(picture: np.ndarray, tolerance: float) -> np.ndarray:
    """Returns which blocks differ by at most `tolerance` in every channel."""
    low, high = picture, picture
    for axis in (0, 1):
        low, high = _by_block(low, np.minimum, axis), _by_block(high, np.maximum, axis)
    return (high.astype(np.float32) - low.astype(np.float32) <= tolerance).all(-1)


def _by_block(values: np.ndarray, function: np.ufunc, axis: int) -> np.ndarray:
    """Reduces every 8 rows or columns, and what is left at the end, to one."""
    # Eight passes over strided views: ufunc.reduceat takes ten times as long.
    side = values.shape[axis]
    starts = [slice(k, None, BLOCK) for k in range(min(BLOCK, side))]
    parts = [values[part] if axis == 0 else values[:, part] for part in starts]
    result = parts[0].copy()
    for part in parts[1:]:
        kept = result[: len(part)] if axis == 0 else result[:, : part.shape[1]]
        function(kept, part, out=kept)
    return result


def _noisy_box(picture: np.ndarray, still: np.ndarray) -> tuple[slice, slice]:
    """Returns the rows and columns that hold all blocks that are not still, to the pixel."""
    box = []
    for axis in (0, 1):
        noisy = np.flatnonzero(~still.all(axis=1 - axis))
        stop = min(picture.shape[axis], (int(noisy[-1]) + 1) * BLOCK)
        box.append([int(noisy[0]) * BLOCK, stop])
    for axis in (0, 1):
        inside = picture[slice(*box[0]), slice(*box[1])]
        flat = (inside.max(axis=1 - axis) == inside.min(axis=1 - axis)).all(-1)
        lines = np.flatnonzero(~flat)
        start, stop = box[axis]
        # Lines of one color belong to the margin where there is one.
        if len(lines) and start > 0:
            box[axis][0] = start + int(lines[0])
        if len(lines) and stop < picture.shape[axis]:
            box[axis][1] = start + int(lines[-1]) + 1
    return slice(*box[0]), slice(*box[1])


def _calm_share(details: np.ndarray) -> float:
    """Returns the share of the blocks of which a quarter of the details (N, h, w, C) are zero."""
    # A quarter of a block, so that a letter or an edge in it does not decide.
    largest = np.abs(details[..., 0])
    for channel in range(1, details.shape[-1]):  # Along an axis of three, `max` takes far longer.
        np.maximum(largest, np.abs(details[..., channel]), out=largest)
    values = largest.reshape(len(largest), -1)
    # The quantile 0.25 as NumPy defines it, whose function takes ten times as long on short rows.
    below, share = divmod(0.25 * (values.shape[1] - 1), 1)
    ranked = np.partition(values, (int(below), int(below) + 1), axis=1)
    low, high = ranked[:, int(below)], ranked[:, int(below) + 1]
    return float((low + (high - low) * share <= _ZERO_DETAIL).mean())


def _cut(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Returns the blocks (N, 8, 8, C) at `places`, in blocks, (N, 2)."""
    height, width, channels = picture.shape
    whole = picture[: height // BLOCK * BLOCK, : width // BLOCK * BLOCK]
    grid = whole.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, channels).swapaxes(1, 2)
    return grid[places[:, 0], places[:, 1]]


def _haar_details(blocks: np.ndarray) -> np.ndarray:
    """Returns the diagonal details of a Haar transform, (N, h/2, w/2, C); noise keeps its σ."""
    rows = blocks[:, ::2] - blocks[:, 1::2]
    return (rows[:, :, ::2] - rows[:, :, 1::2]) / 2


def _half_size(blocks: np.ndarray) -> np.ndarray:
    """Returns the means of 2×2 pixels, (N, 4, 4, C)."""
    rows = (blocks[:, ::2] + blocks[:, 1::2]) / 2
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 2


def _shared_tone(details: np.ndarray) -> np.ndarray | None:
    """Returns the direction in which the noise of details (N, h, w, 3) is alike, or `None`."""
    values = details.reshape(len(details), -1).astype(np.float64)
    energy = np.einsum("nk,nk->n", values, values) / details[0, ..., 0].size
    least, smooth = np.quantile(energy, (_LEAST, _SMOOTHEST))
    smoothest = values[energy <= smooth].reshape(-1, 3)
    outer = np.einsum("ni,nj->ij", smoothest, smoothest)  # not `@`: see `_without_plane`
    energies, vectors = np.linalg.eigh(outer / len(smoothest))
    direction = vectors[:, -1] * np.sign(vectors[:, -1].sum())
    level = math.sqrt(max(energies[-1], 0.0)) * 255
    alike = energies[-1] >= _ALIKE_SHARE * energies.sum() and direction.min() > 0
    even = least >= _EVEN * smooth or level >= _CERTAIN_LEVEL
    if not (alike and even and level >= _ALIKE_LEVEL):
        return None
    return (direction / direction.mean()).astype(np.float32)
