// Decodes files to pixels, and encodes the result.

/** An error whose message is shown to the user. */
export class Refused extends Error {}

/**
 * Decodes a file into a canvas.
 *
 * The size is read from the header of PNG and JPEG files first, because a small file may declare
 * any size, and decoding it would need that much memory.
 *
 * @param {File} file
 * @param {{max_megapixels: number, max_file_megabytes: number}} limits
 * @returns {Promise<ImageBitmap>} rotated according to its EXIF, in sRGB.
 * @throws {Refused}
 */
export async function decode(file, limits) {
  const name = file.name || 'The picture';
  if (file.size === 0) throw new Refused(`${name} is empty. Choose another file.`);
  if (file.size > limits.max_file_megabytes * 1e6) {
    throw new Refused(`${name} has ${(file.size / 1e6).toFixed(0)} MB; this page accepts files up ` +
      `to ${limits.max_file_megabytes} MB. Use the gradnet command for it.`);
  }
  const size = sizeInHeader(new DataView(await file.slice(0, 2 ** 18).arrayBuffer()));
  if (size) requirePixels(name, size, limits);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: 'from-image', premultiplyAlpha: 'none', colorSpaceConversion: 'default',
    });
  } catch {
    throw new Refused(`${name} is not a picture that this browser reads. Choose a JPEG, PNG, ` +
      'WebP or AVIF file; TIFF, RAW and HEIC files must be converted first.');
  }
  requirePixels(name, bitmap, limits);
  return bitmap;
}

function requirePixels(name, {width, height}, limits) {
  const megapixels = width * height / 1e6;
  if (megapixels > limits.max_megapixels) {
    throw new Refused(`${name} has ${width}×${height} pixels, ${megapixels.toFixed(1)} ` +
      `megapixels; this page accepts up to ${limits.max_megapixels}. Use the gradnet command for it.`);
  }
}

/** Returns {width, height} of a PNG or JPEG file, else `null`. */
export function sizeInHeader(view) {
  const long = view.byteLength >= 24;
  if (long && view.getUint32(0) === 0x89504e47 && view.getUint32(12) === 0x49484452) {
    return {width: view.getUint32(16), height: view.getUint32(20)};
  }
  if (!long || view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 9 <= view.byteLength && view.getUint8(at) === 0xff;) {
    const marker = view.getUint8(at + 1);
    // SOF0 to SOF15, except for three markers of tables in that range.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return {height: view.getUint16(at + 5), width: view.getUint16(at + 7)};
    }
    at += 2 + view.getUint16(at + 2);
  }
  return null;
}

const NO_MEMORY = 'This browser has no memory left for a picture of this size.';

/**
 * Refuses a canvas that keeps nothing. Above its limits Safari draws nothing, without a word, and
 * the result would be an empty picture.
 *
 * @throws {Refused}
 */
export function requireCanvas(context, width, height) {
  if (!context) throw new Refused(NO_MEMORY);
  context.fillStyle = 'white';
  context.fillRect(width - 1, height - 1, 1, 1);
  if (context.getImageData(width - 1, height - 1, 1, 1).data[3] !== 255) throw new Refused(NO_MEMORY);
  context.clearRect(width - 1, height - 1, 1, 1);
}

/** Draws a bitmap into a canvas of its size and returns the pixels. */
export function draw(bitmap, canvas) {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext('2d', {colorSpace: 'srgb', willReadFrequently: true});
  requireCanvas(context, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/**
 * Blends two canvases and returns the picture as a file.
 *
 * @param {number} strength 0 returns `before` exactly, 1 returns `after`.
 * @param {string} type "image/png" or "image/jpeg".
 * @returns {Promise<Blob>}
 */
export async function encode(before, after, strength, type) {
  const {width, height} = before;
  const pixels = canvas => canvas.getContext('2d').getImageData(0, 0, width, height);
  const result = pixels(strength === 1 ? after : before);
  if (strength > 0 && strength < 1) {
    const {data} = pixels(after);
    const to = result.data;
    for (let at = 0; at < data.length; at++) to[at] += strength * (data[at] - to[at]);
  }
  const canvas = document.createElement('canvas');
  Object.assign(canvas, {width, height});
  const context = canvas.getContext('2d');
  requireCanvas(context, width, height);
  context.putImageData(result, 0, 0);
  if (type === 'image/jpeg') {  // which has no transparency, and would show black
    context.globalCompositeOperation = 'destination-over';
    context.fillStyle = 'white';
    context.fillRect(0, 0, width, height);
  }
  const blob = await new Promise(resolve => canvas.toBlob(resolve, type, 0.95));
  if (!blob) throw new Refused('This browser could not write the picture. Try the other format.');
  return blob;
}
