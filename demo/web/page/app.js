// The page: takes a file by drop, paste or file dialog, shows the parts of the result as the worker
// finishes them, and offers the result as a download.

import {wireCompare} from './compare.js';
import {Engine, missingFeature} from './engine.js';
import {Refused, decode, draw, encode, requireCanvas} from './picture.js';

const $ = id => document.getElementById(id);
const page = Object.fromEntries(['about', 'after', 'again', 'alert', 'bar', 'before', 'cancel',
  'drop', 'file', 'jpeg', 'limit', 'png', 'progress', 'sample', 'scroller', 'split', 'stage',
  'status', 'strength', 'summary', 'tag', 'work', 'zoom'].map(id => [id, $(id)]));
const compare = wireCompare({...page, splitValue: $('split-value')});
let config;
let engine;
let current;  // the current picture: {name, width, height}

async function start() {
  const missing = missingFeature();
  if (missing) return alertWith(`This browser lacks ${missing}, which the network needs. ` +
    'Open the page in a current Chrome, Edge, Firefox or Safari.');
  try {
    const response = await fetch('config.json');
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    config = await response.json();
  } catch (error) {
    return alertWith(`config.json cannot be loaded: ${error.message}. Build the page with make web-demo.`);
  }
  page.limit.textContent = ` · up to ${config.max_megapixels} megapixels`;
  page.sample.hidden = !config.sample;
  engine = new Engine(config);
  listen();
  try {
    aboutNetwork(await engine.load());
  } catch (error) {
    alertWith(`The network cannot be loaded: ${error.message}.`);
  }
}

function listen() {
  page.file.addEventListener('change', () => {
    takeFiles(page.file.files);
    page.file.value = '';  // so that the same file can be chosen again
  });
  page.sample.addEventListener('click', async () => {
    try {
      const answer = await fetch(config.sample);
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      const blob = await answer.blob();
      take(new File([blob], config.sample.split('/').pop(), {type: blob.type}));
    } catch (error) {
      alertWith(`The sample cannot be loaded: ${error.message}.`);
    }
  });
  let depth = 0;  // dragenter and dragleave are fired for every element
  const dragging = change => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle('dragging', depth > 0);
  };
  addEventListener('dragenter', () => dragging(1));
  addEventListener('dragleave', () => dragging(-1));
  addEventListener('dragover', event => event.preventDefault());
  addEventListener('drop', event => {
    event.preventDefault();
    dragging(-depth);
    takeFiles(event.dataTransfer.files);
  });
  addEventListener('paste', event => {
    if (event.clipboardData.files.length) takeFiles(event.clipboardData.files);
  });
  addEventListener('keydown', event => { if (event.key === 'Escape') engine.cancel(); });
  page.cancel.addEventListener('click', () => engine.cancel());
  page.again.addEventListener('click', () => enqueue(() => run()));
  page.strength.addEventListener('input', showStrength);
  page.zoom.addEventListener('click', () => {
    const on = page.zoom.getAttribute('aria-pressed') !== 'true';
    page.zoom.setAttribute('aria-pressed', on);
    compare.setActual(on);
  });
  page.png.addEventListener('click', () => download('image/png', 'png'));
  page.jpeg.addEventListener('click', () => download('image/jpeg', 'jpg'));
}

function takeFiles(files) {
  if (!files.length) return alertWith('Nothing that was dropped is a file. Drop a picture file.');
  take(files[0], files.length > 1 ? `This is the first of ${files.length} files.` : '');
}

let working = Promise.resolve();
let latest = 0;
/** Runs jobs one after the other; a new job cancels the current one and those that wait. */
function enqueue(job) {
  engine.cancel();
  const mine = ++latest;
  const isLatest = () => mine === latest;
  working = working.then(() => isLatest() ? job(isLatest) : undefined).catch(error => alertWith(error instanceof Refused
    ? error.message : `This picture could not be denoised: ${error.message}.`));
}

function take(file, note = '') {
  enqueue(isLatest => open(file, note, isLatest));
}

async function open(file, note, isLatest) {
  const bitmap = await decode(file, config);
  if (!isLatest()) return bitmap.close();
  alertWith(note);
  current = {name: file.name || 'picture.png', width: bitmap.width, height: bitmap.height};
  draw(bitmap, page.before);
  bitmap.close();
  page.drop.hidden = true;
  page.work.hidden = false;
  compare.show(current.width, current.height);
  showStrength();
  await run();
}

async function run() {
  const {name, width, height} = current;
  const context = page.before.getContext('2d');
  // Shows the noisy picture until the parts of the result arrive.
  Object.assign(page.after, {width, height});
  const after = page.after.getContext('2d', {colorSpace: 'srgb', willReadFrequently: true});
  requireCanvas(after, width, height);
  after.drawImage(page.before, 0, 0);
  busy(true);
  page.summary.textContent = '';
  page.status.textContent = 'Loading the network…';
  const begun = performance.now();
  let finished = false;
  try {
    const pixels = context.getImageData(0, 0, width, height);
    finished = await engine.denoise(pixels, showProgress, part => {
      after.putImageData(new ImageData(part.data, part.width, part.height), part.left, part.top);
    });
    aboutNetwork(await engine.load());  // it may have failed at the start of the page
    if (finished) compare.reveal();
    const seconds = ((performance.now() - begun) / 1e3).toFixed(1);
    page.summary.textContent = finished
      ? `${name}: ${width}×${height} pixels in ${seconds} s`
      : `${name}: cancelled after ${seconds} s; the finished parts are shown.`;
  } finally {
    busy(false);
    page.again.hidden = finished;
    page.png.disabled = page.jpeg.disabled = !finished;
    document.body.dataset.state = finished ? 'finished' : 'stopped';
  }
}

function busy(on) {
  // Until the network is done, the right side shows the untouched photograph, at least in part.
  page.tag.textContent = on ? 'Working…' : 'After';
  document.body.dataset.state = 'busy';
  page.progress.hidden = !on;
  page.again.hidden = true;
  page.bar.value = 0;
  if (on) page.png.disabled = page.jpeg.disabled = true;
}

function showProgress({stage, done, total, share, megapixelsPerSecond, secondsLeft}) {
  page.bar.value = share;
  const left = share > 0 ? ` · ${time(secondsLeft)} left` : '';
  page.status.textContent = stage === 'crops'
    ? `Analyzing the picture: ${done} of ${total} crops${left}`
    : `${done} of ${total} tiles` +
      (done ? ` · ${megapixelsPerSecond.toFixed(2)} MP/s` : '') + left;
}

function time(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

function showStrength() {
  $('strength-value').textContent = `${page.strength.value} %`;
  compare.setStrength(page.strength.value / 100);
}

async function download(type, suffix) {
  const {name} = current;  // another picture may be dropped meanwhile
  try {
    const blob = await encode(page.before, page.after, page.strength.value / 100, type);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = `${name.replace(/\.[^.]*$/, '')}_denoised.${suffix}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) {
    alertWith(error.message);
  }
}

function aboutNetwork({card, threads}) {
  const parameters = card.parameters ? `, ${card.parameters.toLocaleString('en')} parameters` : '';
  const single = crossOriginIsolated ? '' : ' (served without COOP and COEP headers: no threads)';
  page.about.textContent = `${card.name}${parameters}, on LiteRT.js with ${threads} ` +
    `thread${threads > 1 ? 's' : ''}${single}. Weights: ${card.licence ?? 'see the card'}`;
}

function alertWith(message) {
  page.alert.textContent = message ?? '';
  page.alert.hidden = !message;
}

start();
