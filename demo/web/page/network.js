// A fixed-tile .tflite file on LiteRT.js: computes the vectors of a crop, and denoises a window with
// given vectors.

import {mirrored} from './tiles.js';

const LEVELS = Float32Array.from({length: 256}, (_, level) => level / 255);

/**
 * Loads the runtime and the file that a card describes.
 *
 * @param {string} cardUrl the JSON card that `python -m export` writes beside a file.
 * @param {string} runtimeUrl folder of LiteRT.js, with a final slash.
 * @param {number} threads more than 1 requires a page with COOP and COEP headers.
 */
export async function loadNetwork(cardUrl, runtimeUrl, threads) {
  const card = await (await fetched(cardUrl)).json();
  const bytes = new Uint8Array(await (await fetched(new URL(encodeURIComponent(card.file), cardUrl).href)).arrayBuffer());
  await requireSha256(bytes, card);
  const litert = await import(`${runtimeUrl}core.js`);
  // By default, Emscripten looks for its files beside this worker's script.
  self.Module = {
    mainScriptUrlOrBlob: `${runtimeUrl}wasm/litert_wasm_threaded_internal.js`,
    locateFile: name => `${runtimeUrl}wasm/${name}`,
  };
  await litert.loadLiteRt(`${runtimeUrl}wasm/`, {threads: threads > 1});
  const options = {accelerator: 'wasm', cpuOptions: {numThreads: threads}};
  return new Network(card, await litert.loadAndCompile(bytes, options), litert.Tensor);
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: HTTP status ${response.status}`);
  return response;
}

async function requireSha256(bytes, card) {
  if (!card.sha256 || !self.crypto?.subtle) return;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const hex = Array.from(digest, byte => byte.toString(16).padStart(2, '0')).join('');
  if (hex !== card.sha256) throw new Error(`${card.file} does not match its card (sha256)`);
}

class Network {
  constructor(card, model, Tensor) {
    this.card = card;
    this.tile = card.tile;
    this.halo = card.halo;
    this.size = card.tile + 2 * card.halo;
    this.block = card.block ?? ((card.tile | card.halo) % 2 ? 1 : 2);
    this._model = model;
    this._Tensor = Tensor;
    // Inputs and outputs have no fixed order, so they are accessed by name.
    this.crop = this._shape('attention')[1];
    const [, height, width, channels] = this._shape('serving_default');
    if (height !== this.size || width !== this.size || channels !== 3) {
      throw new Error(`${card.file} takes ${height}×${width}×${channels}, but its card says ` +
        `${this.size}×${this.size}×3`);
    }
  }

  _shape(signature) {
    const runner = this._model.signatures[signature];
    const images = runner?.getInputDetails().find(input => input.name === 'images');
    if (!images) throw new Error(`${this.card.file} has no signature ${signature} with images`);
    return images.shape;
  }

  /**
   * Returns the attention vectors of a crop, {attention_0: Float32Array, …}. A crop of a smaller
   * `side` is mirrored to the size that the network takes.
   */
  async vectors(picture, top, left, side = this.crop) {
    return this._run('attention', {images: read(picture, top, left, this.crop, side)});
  }

  /** Returns the denoised window at (top, left), Float32Array of size × size × 3 in [0, 1]. */
  async window(picture, top, left, vectors) {
    const images = read(picture, top, left, this.size);
    return (await this._run('serving_default', {images, ...vectors})).denoised;
  }

  async _run(signature, arrays) {
    const side = signature === 'attention' ? this.crop : this.size;
    const tensors = {};
    for (const [name, array] of Object.entries(arrays)) {
      const shape = name === 'images' ? [1, side, side, 3] : [1, 1, 1, array.length];
      tensors[name] = new this._Tensor(array, shape);
    }
    try {
      const results = await this._model.run(signature, tensors);
      const found = {};
      for (const [name, tensor] of Object.entries(results)) {
        found[name] = tensor.toTypedArray().slice();
        tensor.delete();
      }
      return found;
    } finally {
      for (const tensor of Object.values(tensors)) tensor.delete();
    }
  }
}

/**
 * Reads a square of a picture as float32 RGB in [0, 1], mirrored at the picture's border, and
 * after `kept` pixels where fewer than `side` are wanted of the picture.
 */
function read(picture, top, left, side, kept = side) {
  const {width, height, data} = picture;
  const columns = Int32Array.from({length: side}, (_, x) => 4 * mirrored(left + mirrored(x, kept), width));
  const floats = new Float32Array(side * side * 3);
  for (let y = 0, at = 0; y < side; y++) {
    const row = 4 * width * mirrored(top + mirrored(y, kept), height);
    for (let x = 0; x < side; x++, at += 3) {
      const from = row + columns[x];
      floats[at] = LEVELS[data[from]];
      floats[at + 1] = LEVELS[data[from + 1]];
      floats[at + 2] = LEVELS[data[from + 2]];
    }
  }
  return floats;
}
