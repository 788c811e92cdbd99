// Goes through the page in headless Chromium as a visitor would and writes down what happened:
//   cd demo/web && node ../../tests/web_visit.mjs JOB.json
// JOB: {chromium, page, brokenPage, pageWithoutHeaders, folder, timeout, files: {noisy, small, dot,
// grey, large}}. What comes back lies in `folder`: pictures, screenshots and found.json. Judging is
// left to test_demo_web_page.py.

import fs from 'node:fs';
import {createRequire} from 'node:module';
import os from 'node:os';
import path from 'node:path';

// The package lies beside demo/web/package.json, where this is started.
const {chromium} = createRequire(path.resolve('package.json'))('playwright-core');

const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const found = {requests: [], errors: []};
const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'gradnet-web-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: job.chromium,
  headless: true,
  acceptDownloads: true,
  viewport: {width: 1280, height: 900},
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

async function visit(url, size, before) {
  const page = await browser.newPage();
  if (size) await page.setViewportSize(size);
  if (before) await page.addInitScript(before);
  page.on('request', request => found.requests.push(request.url()));
  page.on('pageerror', error => found.errors.push(error.message));
  page.on('console', message => {
    if (message.type() === 'error') found.errors.push(message.text());
  });
  await page.goto(url);
  return page;
}

/** Drops a file, or pastes it, as the browser hands it to the page. */
async function give(page, file, how = 'drop', type = 'image/png') {
  const content = fs.readFileSync(file).toString('base64');
  await page.evaluate(([content, name, type, how]) => {
    document.body.dataset.state = 'given';
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, {type}));
    const init = {bubbles: true, cancelable: true};
    document.body.dispatchEvent(how === 'drop'
      ? new DragEvent('drop', {...init, dataTransfer: data})
      : new ClipboardEvent('paste', {...init, clipboardData: data}));
  }, [content, path.basename(file), type, how]);
}

const state = (page, wanted) => page.waitForFunction(
  wanted => document.body.dataset.state === wanted, wanted, {timeout: job.timeout * 1e3});

async function save(page, button, name) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  await download.saveAs(path.join(job.folder, name));
  return download.suggestedFilename();
}

async function alertOf(page) {
  await page.waitForSelector('#alert:not([hidden])');
  return page.textContent('#alert');
}

const strength = (page, value) => page.locator('#strength').fill(String(value));
const shot = (page, name) => page.screenshot({path: path.join(job.folder, name), type: 'png'});

try {
  const page = await visit(job.page);
  await page.waitForFunction(() => document.querySelector('#about').textContent);
  found.about = await page.textContent('#about');
  await shot(page, 'empty.png');

  // The whole way with one photograph.
  await page.evaluate(() => {
    window.seen = [];
    new MutationObserver(() => window.seen.push(document.querySelector('#status').textContent))
      .observe(document.querySelector('#status'), {childList: true});
  });
  await give(page, job.files.noisy);
  await state(page, 'finished');
  found.progress = await page.evaluate(() => window.seen);
  found.summary = await page.textContent('#summary');
  found.name = await save(page, '#png', 'denoised.png');
  await save(page, '#jpeg', 'denoised.jpg');
  await shot(page, 'desktop.png');
  await strength(page, 50);
  await save(page, '#png', 'half.png');
  await strength(page, 0);
  await save(page, '#png', 'nothing.png');
  await strength(page, 100);

  // The line between before and after, by keyboard and by pointer.
  await page.focus('#split');
  await page.keyboard.press('ArrowRight');
  found.splitByKey = await page.textContent('#split-value');
  const box = await page.locator('#stage').boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 4, box.y + 20);
  await page.mouse.up();
  found.splitByPointer = await page.textContent('#split-value');
  await page.click('#zoom');
  await shot(page, 'actual.png');
  found.actualWidth = await page.evaluate(
    () => document.querySelector('#before').getBoundingClientRect().width * devicePixelRatio);
  await page.click('#zoom');

  // Small pictures, one of them pasted; a grey one.
  for (const [name, how] of [['small', 'paste'], ['dot', 'drop'], ['grey', 'drop']]) {
    await give(page, job.files[name], how);
    await state(page, 'finished');
    await save(page, '#png', `${name}_denoised.png`);
  }

  // Files that cannot be denoised: the last result stays.
  fs.writeFileSync(path.join(job.folder, 'notes.txt'), 'not a picture');
  await give(page, path.join(job.folder, 'notes.txt'), 'drop', 'text/plain');
  found.wrong = await alertOf(page);
  await shot(page, 'wrong.png');
  const bomb = Buffer.from('89504e470d0a1a0a0000000d494844520000753000007530080200000000', 'hex');
  fs.writeFileSync(path.join(job.folder, 'bomb.png'), Buffer.concat([bomb, Buffer.alloc(64)]));
  await give(page, path.join(job.folder, 'bomb.png'));
  await page.waitForFunction(() => document.querySelector('#alert').textContent.includes('bomb'));
  found.tooLarge = await alertOf(page);
  found.stillThere = await page.isEnabled('#png');

  // Cancel, then the same picture again.
  await give(page, job.files.large);
  await page.waitForFunction(() => /tiles/.test(document.querySelector('#status').textContent));
  await page.click('#cancel');
  await state(page, 'stopped');
  found.cancelled = await page.textContent('#summary');
  found.afterCancel = {png: await page.isEnabled('#png'), again: await page.isVisible('#again')};
  await page.click('#again');
  await page.waitForFunction(() => /[1-9]\d* of/.test(document.querySelector('#status').textContent));
  // A new picture ends the work on this one by itself.
  await give(page, job.files.small);
  await page.waitForFunction(() => /^small.*in/.test(document.querySelector('#summary').textContent),
    null, {timeout: job.timeout * 1e3});
  found.alertAtEnd = await page.isVisible('#alert');
  await page.close();

  // A phone's width.
  const phone = await visit(job.page, {width: 390, height: 844});
  await phone.click('#sample');
  await state(phone, 'finished');
  await shot(phone, 'phone.png');
  found.phoneOverflow = await phone.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await phone.close();

  // A server that sends no headers: one thread, the same picture.
  const plain = await visit(job.pageWithoutHeaders);
  await plain.waitForFunction(() => document.querySelector('#about').textContent);
  found.aboutPlain = await plain.textContent('#about');
  await give(plain, job.files.small);
  await state(plain, 'finished');
  await save(plain, '#png', 'small_plain.png');
  await plain.close();

  found.expectedErrorsFrom = found.errors.length;
  const old = await visit(job.page, null, () => { delete window.WebAssembly; });
  found.noWebAssembly = await alertOf(old);
  await old.close();
  const broken = await visit(job.brokenPage);
  found.noModel = await alertOf(broken);
  await broken.close();
} finally {
  fs.writeFileSync(path.join(job.folder, 'found.json'), JSON.stringify(found, null, 1));
  await browser.close();
  fs.rmSync(profile, {recursive: true, force: true});
}
