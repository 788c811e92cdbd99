// Where a picture has noise: the rule of gradnet_tf/images/noise_survey.py, for eight bits.

import {cropPlaces} from './tiles.js';

const BLOCK = 8;
/** A block is calm if the first quartile of its 16 details is at most half a level. */
const LEAST_CALM = 5;

/**
 * Looks for noise in a picture.
 *
 * @param {{width: number, height: number, data: Uint8ClampedArray}} picture RGBA.
 * @returns {{rows: number, columns: number, still: Uint8Array, stillShare: number,
 *     isDrawing: boolean}} `still` marks the 8×8 blocks whose values differ by at most one level;
 *     a drawing, a page or a screenshot has no noise in its other blocks either.
 */
export function surveyNoise({width, height, data}) {
  const rows = Math.ceil(height / BLOCK);
  const columns = Math.ceil(width / BLOCK);
  const still = new Uint8Array(rows * columns);
  const lively = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const top = row * BLOCK;
      const left = column * BLOCK;
      const bottom = Math.min(top + BLOCK, height);
      const right = Math.min(left + BLOCK, width);
      if (isStill(data, width, top, left, bottom, right)) {
        still[row * columns + column] = 1;
      } else if (bottom - top === BLOCK && right - left === BLOCK) {
        lively.push({row, column, isCalm: zeroDetails(data, width, top, left) >= LEAST_CALM});
      }
    }
  }
  const stillShare = still.reduce((sum, value) => sum + value, 0) / still.length;
  // A block at the border of a flat frame is partly flat; if there are others, these count.
  const inner = lively.filter(({row, column}) => !hasStillNeighbor(row, column));
  const counted = inner.length ? inner : lively;
  const calm = counted.filter(({isCalm}) => isCalm).length;
  // Less than 16 pixels a side or two blocks that are not still tell nothing about noise.
  const tells = Math.min(width, height) >= 16 && (stillShare === 1 || lively.length >= 2);
  const isDrawing = tells && stillShare >= 0.2 && calm >= 0.25 * counted.length;
  return {rows, columns, still, stillShare, isDrawing};

  function hasStillNeighbor(row, column) {
    for (let y = Math.max(0, row - 1); y < Math.min(rows, row + 2); y++) {
      for (let x = Math.max(0, column - 1); x < Math.min(columns, column + 2); x++) {
        if (still[y * columns + x]) return true;
      }
    }
    return false;
  }
}

function isStill(data, width, top, left, bottom, right) {
  for (let channel = 0; channel < 3; channel++) {
    let low = 255;
    let high = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const value = data[4 * (y * width + x) + channel];
        if (value < low) low = value;
        if (value > high) high = value;
      }
      if (high - low > 1) return false;
    }
  }
  return true;
}

/** Returns how many of a block's 16 diagonal Haar details are at most half a level. */
function zeroDetails(data, width, top, left) {
  let count = 0;
  for (let y = top; y < top + BLOCK; y += 2) {
    for (let x = left; x < left + BLOCK; x += 2) {
      const at = 4 * (y * width + x);
      const below = at + 4 * width;
      let largest = 0;
      for (let c = 0; c < 3; c++) {
        const detail = data[at + c] - data[at + 4 + c] - data[below + c] + data[below + 4 + c];
        largest = Math.max(largest, Math.abs(detail));
      }
      if (largest <= 1) count++;  // twice the detail
    }
  }
  return count;
}

/**
 * Returns the crops that the attention's vectors are averaged over: of a picture with flat parts,
 * those with few of them, smaller ones where the other parts are narrow.
 *
 * @param {number} crop side of a crop.
 * @returns {{places: {top: number, left: number}[], side: number}}
 */
export function noisyPlaces(width, height, crop, survey) {
  const all = cropPlaces(width, height, crop);
  if (survey.stillShare <= 0.05) return {places: all, side: crop};
  const count = Math.max(4, all.length);
  let best;
  let side;
  for (side of [crop, 40, 24]) {
    best = cropPlaces(width, height, side, 8 * count)
      .map(place => ({...place, share: shareOf(survey, place, side, width, height)}))
      .sort((a, b) => a.share - b.share)
      .slice(0, count);
    if (best[Math.min(3, best.length - 1)].share <= 0.25) break;
  }
  const most = Math.max(0.25, best[Math.floor((best.length - 1) / 4)].share);
  return {places: best.filter(({share}) => share <= most), side};
}

function shareOf({rows, columns, still}, {top, left}, side, width, height) {
  const bottom = Math.min(rows, Math.ceil(Math.min(top + side, height) / BLOCK));
  const right = Math.min(columns, Math.ceil(Math.min(left + side, width) / BLOCK));
  let sum = 0;
  let count = 0;
  for (let row = Math.floor(top / BLOCK); row < bottom; row++) {
    for (let column = Math.floor(left / BLOCK); column < right; column++, count++) {
      sum += still[row * columns + column];
    }
  }
  return sum / count;
}
