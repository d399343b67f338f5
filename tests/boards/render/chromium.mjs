// Headless Chromium over its debugging pipe: no package, no port.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const START_MS = 60_000, CLOSE_MS = 10_000;

export async function withChromium(program, width, work) {
  const profile = mkdtempSync(join(tmpdir(), 'boards-'));
  const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
    '--remote-debugging-pipe', `--user-data-dir=${profile}`, '--no-first-run',
    '--disable-background-networking', '--disable-component-update', `--window-size=${width},1200`];
  const child = spawn(program, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve) => { child.once('exit', resolve).once('error', resolve); });
  const browser = connection(child);
  try {
    return await work(browser);
  } finally {
    // Asked to close, it ends its own processes too; they write to the profile until then.
    browser.send('Browser.close').catch(() => {});
    const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS);
    await ended;
    clearTimeout(timer);
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

function connection(child) {
  const waiting = new Map();
  const listeners = [];
  let id = 0, rest = '';
  const fail = (error) => { for (const { reject } of waiting.values()) reject(error); };
  child.once('error', fail);
  child.once('exit', () => fail(new Error('chromium ended')));
  child.stdio[4].setEncoding('utf8').on('data', (chunk) => {
    const parts = (rest + chunk).split('\0');
    rest = parts.pop();
    for (const part of parts) {
      const message = JSON.parse(part);
      const { resolve, reject } = waiting.get(message.id) ?? {};
      waiting.delete(message.id);
      if (message.error) reject?.(new Error(message.error.message));
      else if (resolve) resolve(message.result);
      else for (const listener of listeners) listener(message);
    }
  });
  const send = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
    id += 1;
    const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), START_MS);
    const done = (settle) => (value) => { clearTimeout(timer); settle(value); };
    waiting.set(id, { resolve: done(resolve), reject: done(reject) });
    child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  });
  return { send, listen: (listener) => listeners.push(listener) };
}

// Opens an address and waits until the page says that it is drawn; errors of the page are returned.
export async function draw({ send, listen }, url, width, waitMs) {
  const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
  const errors = [];
  listen(({ method, params, sessionId: from }) => {
    if (from !== sessionId) return;
    if (method === 'Runtime.exceptionThrown') {
      errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    }
    if (method === 'Runtime.consoleAPICalled' && params.type === 'error') {
      errors.push(params.args.map((arg) => arg.value ?? arg.description).join(' ').slice(0, 400));
    }
  });
  const page = (method, params) => send(method, params, sessionId);
  await page('Runtime.enable');
  await page('Page.enable');
  await size(page, width, 1200);
  await page('Page.navigate', { url });
  const value = async (expression) =>
    (await page('Runtime.evaluate', { expression, returnByValue: true })).result.value;
  const until = Date.now() + waitMs;
  while (!(await value('Boolean(window.drawn)'))) {
    if (Date.now() > until) throw new Error(`not drawn in ${waitMs} ms; ${errors.join('; ')}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const drawn = await value('window.drawn');
  if (drawn.error) throw new Error(drawn.error);
  await size(page, width, drawn.height);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const { data } = await page('Page.captureScreenshot', { format: 'png' });
  await send('Target.closeTarget', { targetId });
  return { png: Buffer.from(data, 'base64'), errors, faults: drawn.faults };
}

function size(page, width, height) {
  return page('Emulation.setDeviceMetricsOverride',
    { width, height: Math.ceil(height), deviceScaleFactor: 1, mobile: false });
}
