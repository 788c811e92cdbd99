// Cuts a picture into windows of fixed size, with the rule of gradnet_tf/tiling/tiles.py.

/**
 * Covers one axis with windows of `tile` + 2·`halo` pixels.
 *
 * At the border of the picture, windows are moved inside, because the zero padding of the network
 * there is part of the result. They may extend `block` - 1 pixels beyond the end if `block` does
 * not divide the length, and more if the picture is smaller than a window.
 *
 * @param {number} length pixels along the axis.
 * @param {number} tile pixels that an inner window contributes.
 * @param {number} halo margin on either side.
 * @param {number} block windows start at multiples of it; it must divide `tile` and `halo`.
 * @returns {{start: number, first: number, last: number}[]} the start of the window, and the range
 *     [first, last) that is kept.
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

/** Returns the pixel at `index` of an axis that is mirrored beyond `length`. */
export function mirrored(index, length) {
  const place = index % (2 * length);
  return place < length ? place : 2 * length - 1 - place;
}

/**
 * Returns the top left corners of the crops that the attention vectors are averaged over.
 *
 * Their number is that of gradnet_tf/tiling/tiler.py: one per 2¹⁵ pixels, from 32 to 128, and at
 * most as many as cover the area of the picture, or 4. Their places are the first points of
 * the R2 sequence, which covers a rectangle evenly, because NumPy's generator is not available.
 *
 * @param {number} [number] how many; by default as many as the library takes.
 * @returns {{top: number, left: number}[]}
 */
export function cropPlaces(width, height, side, number) {
  const sides = [Math.min(side, height), Math.min(side, width)];
  const wanted = Math.min(128, Math.max(32, Math.floor(width * height / 2 ** 15)));
  const area = Math.max(4, Math.floor(width * height / (sides[0] * sides[1])));
  const fitting = Math.min(wanted, area);
  const count = number ?? fitting;
  const at = (index, step, room) => Math.floor(((0.5 + index * step) % 1) * (room + 1));
  return Array.from({length: count}, (_, index) => ({
    top: at(index, 0.7548776662466927, height - sides[0]),
    left: at(index, 0.5698402909980532, width - sides[1]),
  }));
}
