// How a picture is cut into windows of one size: the rule of gradnet_tf/tiling/tiles.py, for a
// network that takes no other size.

/**
 * Covers one axis with windows of `tile` + 2·`halo` pixels.
 *
 * At the picture's border a window is moved inside, since the zeros that the network pads with
 * there are part of the result. It may reach `block` - 1 pixels beyond the end, where `block` does
 * not divide the length, and ends far beyond it where the picture is smaller than a window.
 *
 * @param {number} length pixels along the axis.
 * @param {number} tile pixels that a window between others contributes.
 * @param {number} halo margin on either side.
 * @param {number} block windows start at multiples of it, as `tile` and `halo` must be.
 * @returns {{start: number, first: number, last: number}[]} the network sees `start` and what
 *     follows; [first, last) is kept.
 */
export function spans(length, tile, halo, block = 1) {
  const size = tile + 2 * halo;
  if (length <= size) return [{start: 0, first: 0, last: length}];
  const latest = Math.ceil((length - size) / block) * block;
  const found = [];
  for (let first = 0; first < length;) {
    const start = Math.min(Math.max(0, first - halo), latest);
    const last = start + size >= length ? length : start + size - halo;
    found.push({start, first, last});
    first = last;
  }
  return found;
}

/** Returns the windows of a picture, row by row: {row, column} of `spans`. */
export function windows(width, height, tile, halo, block) {
  const columns = spans(width, tile, halo, block);
  return spans(height, tile, halo, block).flatMap(row => columns.map(column => ({row, column})));
}

/** Returns the pixel that stands at `index` of an axis which goes on beyond `length` mirrored. */
export function mirrored(index, length) {
  const place = index % (2 * length);
  return place < length ? place : 2 * length - 1 - place;
}

/**
 * Returns the top left corners of the crops that the attention's vectors are averaged over.
 *
 * As many as gradnet_tf/tiling/attention_sample.py takes: one for 2¹⁵ pixels, from 32 to 128,
 * and no more than have the picture's area. Their places are the first points of the R2 sequence
 * (the plastic number's powers, added up modulo 1), which covers a rectangle evenly for any
 * count; NumPy's generator, which draws the places there, has no counterpart in a browser.
 *
 * @returns {{top: number, left: number}[]}
 */
export function cropPlaces(width, height, side) {
  const sides = [Math.min(side, height), Math.min(side, width)];
  const wanted = Math.min(128, Math.max(32, Math.floor(width * height / 2 ** 15)));
  const count = Math.min(wanted, Math.floor(width * height / (sides[0] * sides[1])));
  const at = (index, step, room) => Math.floor(((0.5 + index * step) % 1) * (room + 1));
  return Array.from({length: count}, (_, index) => ({
    top: at(index, 0.7548776662466927, height - sides[0]),
    left: at(index, 0.5698402909980532, width - sides[1]),
  }));
}
