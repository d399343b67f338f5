#!/usr/bin/env node
// Draws the boards with Grafana's own components and real query results.
//
//   draw.mjs --prometheus URL --modules DIR --out DIR [--at SECONDS] [--width 1600]
//            [--choose BOARD.LABEL=VALUE]… [--only BOARD]… [--chromium PROGRAM]
//
// Writes one board-NAME.png for each dashboards/grafana/NAME.json. Exit code 1 where a query or the page
// fails, a panel shows NaN or the like, or a picture is larger than it may be; 2 on bad usage.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, extname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { draw, withChromium } from './chromium.mjs';
import { answered, rangeStart } from './queries.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const BOARDS = resolve(HERE, '../../../dashboards/grafana');
const BYTES_MAX = 480 * 1024;
const DRAW_MS = 60_000;
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css',
  '.json': 'application/json', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' };

function usage(message) {
  console.error(`draw.mjs: ${message}; see the head of the file`);
  process.exit(2);
}

function arguments_() {
  const text = { type: 'string' }, list = { type: 'string', multiple: true, default: [] };
  let values;
  try {
    ({ values } = parseArgs({ options: { prometheus: text, modules: text, out: text, at: text,
      width: { ...text, default: '1600' }, choose: list, only: list,
      chromium: { ...text, default: 'chromium' } } }));
  } catch (error) {
    usage(error.message);
  }
  for (const name of ['prometheus', 'modules', 'out']) if (!values[name]) usage(`--${name} is missing`);
  return { ...values, width: Number(values.width), at: Math.floor(Number(values.at ?? Date.now() / 1000)) };
}

async function bundle(modules, out) {
  const { build } = createRequire(join(resolve(modules), 'package.json'))('esbuild');
  await build({
    entryPoints: [join(HERE, 'page/index.jsx')], outdir: out, bundle: true, minify: true,
    nodePaths: [join(resolve(modules), 'node_modules')], jsx: 'automatic', format: 'iife',
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' }, logLevel: 'error',
    loader: { '.woff2': 'file', '.ttf': 'empty', '.woff': 'file', '.svg': 'text' }, external: ['node:*'],
  });
  writeFileSync(join(out, 'index.html'), readFileSync(join(HERE, 'page/index.html')));
}

// The page, and Grafana's icons where its code asks for them. Loopback, any free port.
async function serve(built, modules, current) {
  const icons = join(resolve(modules), 'node_modules/@grafana/ui/dist/public/img/icons');
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
    const icon = path.split('/img/icons/')[1];
    try {
      const body = path === '/board.json' ? JSON.stringify(current.board)
        : readFileSync(icon ? join(icons, icon) : join(built, path));
      response.setHeader('content-type', TYPES[extname(path)] ?? 'application/octet-stream');
      response.end(body);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

// What the head of the picture says, and what the queries get for each variable.
function chosen(board, name, choose) {
  const own = Object.fromEntries(choose.map((text) => /^(\w+)\.(\w+)=(.*)$/.exec(text) ?? usage(`--choose ${text}`))
    .filter(([, which]) => which === name).map(([, , label, value]) => [label, value]));
  const variables = board.templating.list.filter(({ type }) => type === 'query');
  return {
    choices: Object.fromEntries(variables.map(({ name: label }) => [label, own[label] ?? '.*'])),
    shown: variables.map(({ name: label, label: heading }) => ({ label: heading, text: own[label] ?? 'All' })),
  };
}

const stamp = (time) => new Date(time * 1000).toISOString().slice(0, 16).replace('T', ' ');

async function picture(connection, address, current, name, options) {
  const board = JSON.parse(readFileSync(join(BOARDS, `${name}.json`), 'utf8'));
  const to = options.at, from = rangeStart(board.time.from, to);
  const { choices, shown } = chosen(board, name, options.choose);
  const full = await answered(options.prometheus, board, { from, to, width: options.width, choices });
  const rangeText = `${stamp(from)} to ${stamp(to)} UTC`;
  current.board = { ...full, from, to, width: options.width, choices: shown, rangeText };
  const { png, errors, faults } = await draw(connection, address, options.width, DRAW_MS);
  writeFileSync(join(options.out, `board-${name}.png`), png);
  const problems = [...errors, ...faults];
  if (png.length > BYTES_MAX) problems.push(`${png.length} bytes, more than ${BYTES_MAX}`);
  console.log(`board-${name}.png: ${board.panels.length} panels, ${png.length} bytes`);
  return problems.map((problem) => `${name}: ${problem}`);
}

async function main() {
  const options = arguments_();
  const built = mkdtempSync(join(tmpdir(), 'boards-page-'));
  const current = {};
  let server;
  try {
    mkdirSync(options.out, { recursive: true });
    await bundle(options.modules, built);
    server = await serve(built, options.modules, current);
    const address = `http://127.0.0.1:${server.address().port}/index.html`;
    const names = readdirSync(BOARDS).map((file) => file.replace('.json', ''))
      .filter((name) => !options.only.length || options.only.includes(name));
    const problems = await withChromium(options.chromium, options.width, async (connection) => {
      const found = [];
      for (const name of names) found.push(...await picture(connection, address, current, name, options));
      return found;
    });
    for (const problem of problems) console.error(problem);
    const failed = new Set(problems.map((problem) => problem.split(':')[0])).size;
    console.log(`${names.length - failed} passed, ${failed} failed`);
    return problems.length ? 1 : 0;
  } finally {
    server?.close();
    rmSync(built, { recursive: true, force: true });
  }
}

main().then((code) => process.exit(code), (error) => {
  console.error(`draw.mjs: ${error.stack}`);
  process.exit(1);
});
