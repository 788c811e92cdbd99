// Denoises a whole picture: first the attention vectors of its crops, then window by window.

import {noisyPlaces, surveyNoise} from './survey.js';
import {windows} from './tiles.js';

/**
 * Denoises a picture part by part.
 *
 * @param network of network.js.
 * @param {{width: number, height: number, data: Uint8ClampedArray}} picture RGBA.
 * @param hooks `cancelled()`, called between two runs of the network; `onProgress({stage, done,
 *     total, share, megapixels, seconds})`; `onPart({left, top, width, height, data})`, RGBA.
 * @returns {Promise<boolean>} whether it was completed.
 */
export async function denoise(network, picture, {cancelled, onProgress, onPart}) {
  const {width, height} = picture;
  const survey = surveyNoise(picture);
  if (survey.isDrawing) {
    // There is nothing to remove from a drawing, a page or a screenshot.
    onPart({left: 0, top: 0, width, height, data: picture.data.slice()});
    return true;
  }
  const {places, side} = noisyPlaces(width, height, network.crop, survey);
  const cut = windows(width, height, network.tile, network.halo, network.block);
  const gray = isGray(picture.data);
  // The progress is estimated from the number of pixels that the network processes.
  const costs = {crops: network.crop ** 2, tiles: network.size ** 2};
  const all = places.length * costs.crops + cut.length * costs.tiles;
  const begun = performance.now();
  let spent = 0;
  const report = (stage, done, total, pixels, since) => onProgress({
    stage, done, total, share: spent / all,
    megapixelsPerSecond: pixels / 1e3 / Math.max(1, performance.now() - since),
    secondsLeft: (performance.now() - begun) / 1e3 * (all - spent) / Math.max(1, spent),
  });

  report('crops', 0, places.length, 0, begun);
  const sums = {};
  for (const [index, {top, left}] of places.entries()) {
    if (await interrupted(cancelled)) return false;
    add(sums, await network.vectors(picture, top, left, side));
    spent += costs.crops;
    report('crops', index + 1, places.length, 0, begun);
  }
  const vectors = {};
  for (const [name, sum] of Object.entries(sums)) {
    vectors[name] = Float32Array.from(sum, value => value / places.length);
  }

  const tilesBegun = performance.now();
  let pixels = 0;
  report('tiles', 0, cut.length, 0, tilesBegun);
  for (const [index, {row, column}] of cut.entries()) {
    if (await interrupted(cancelled)) return false;
    const floats = await network.window(picture, row.start, column.start, vectors);
    const part = store(floats, network.size, picture, row, column, gray);
    pixels += part.width * part.height;
    spent += costs.tiles;
    onPart(part);
    report('tiles', index + 1, cut.length, pixels, tilesBegun);
  }
  return true;
}

/** Processes pending messages and returns whether the job was cancelled. */
async function interrupted(cancelled) {
  await new Promise(resolve => {
    const {port1, port2} = new MessageChannel();
    port1.onmessage = () => { port1.close(); resolve(); };
    port2.postMessage(null);
  });
  return cancelled();
}

function add(sums, vectors) {
  for (const [name, vector] of Object.entries(vectors)) {
    sums[name] ??= new Float64Array(vector.length);
    vector.forEach((value, index) => { sums[name][index] += value; });
  }
}

function isGray(data) {
  for (let at = 0; at < data.length; at += 4) {
    if (data[at] !== data[at + 1] || data[at] !== data[at + 2]) return false;
  }
  return true;
}

/** Returns the kept part of a window as RGBA; alpha is kept, and gray pictures stay gray. */
function store(floats, size, picture, row, column, gray) {
  const width = column.last - column.first;
  const height = row.last - row.first;
  // Uint8ClampedArray rounds half to even, like NumPy.
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0, to = 0; y < height; y++) {
    let from = 3 * ((row.first - row.start + y) * size + column.first - column.start);
    let alpha = 4 * ((row.first + y) * picture.width + column.first) + 3;
    for (let x = 0; x < width; x++, from += 3, to += 4, alpha += 4) {
      const [r, g, b] = [floats[from], floats[from + 1], floats[from + 2]];
      const mean = (r + g + b) / 3;
      data[to] = 255 * (gray ? mean : r);
      data[to + 1] = 255 * (gray ? mean : g);
      data[to + 2] = 255 * (gray ? mean : b);
      data[to + 3] = picture.data[alpha];
    }
  }
  return {left: column.first, top: row.first, width, height, data};
}
