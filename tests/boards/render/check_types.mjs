#!/usr/bin/env node
// Compares the boards with Grafana's own types: every key and value of a board, and of the options of
// its panels, must be one that @grafana/schema knows.
//
//   check_types.mjs --modules DIR
//
// Exit code 1 with the compiler's words where one is not; 2 on bad usage.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const BOARDS = resolve(dirname(fileURLToPath(import.meta.url)), '../../../dashboards/grafana');
// Kind of panel → the name of its types, and whether it has settings of its own for each field.
const KINDS = { timeseries: ['TimeSeries', true], stat: ['Stat', false], bargauge: ['BarGauge', false],
  table: ['Table', true], text: ['Text', false] };

const HEAD = `
import type { AnnotationQuery, Dashboard, DataQuery, Panel, VariableModel } from '@grafana/schema';
${Object.entries(KINDS).map(([kind, [name]]) => `import type * as ${kind} from
  '@grafana/schema/dist/esm/raw/composable/${kind}/panelcfg/x/${name}PanelCfg_types.gen';`).join('\n')}
// JSON holds the values of Grafana's enumerations, not their names.
type Plain<T> = T extends string ? \`\${T}\` : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
// What the Prometheus data source adds to a query, an annotation and a variable.
type Mark = AnnotationQuery & { expr: string; step: string; titleFormat: string; textFormat: string;
  useValueForTime: boolean };
type Choice = VariableModel & { definition?: string };
type Board = Omit<Dashboard, 'panels' | 'annotations' | 'templating'>
  & { annotations: { list: Mark[] }; templating: { list: Choice[] } };
type Query = DataQuery & { expr: string; legendFormat: string; format: 'time_series' | 'table';
  instant: boolean; range: boolean; editorMode: 'code' };
`;

function source(board, name) {
  const { panels, ...rest } = board;
  const lines = [`export const ${name}: Plain<Board> = ${JSON.stringify(rest)};`];
  for (const panel of panels.filter(({ type }) => type !== 'row')) {
    const { options, targets, fieldConfig: { defaults: { custom, ...defaults }, overrides }, ...frame } = panel;
    const at = `${name}_${panel.id}`;
    lines.push(
      `export const ${at}_panel: Plain<Omit<Panel, 'options'>> = ${JSON.stringify({
        ...frame, fieldConfig: { defaults, overrides } })};`,
      `export const ${at}_options: Plain<Partial<${panel.type}.Options>> = ${JSON.stringify(options)};`,
      `export const ${at}_queries: Query[] = ${JSON.stringify(targets ?? [])};`,
    );
    if (KINDS[panel.type][1]) {
      const type = `Plain<Partial<${panel.type}.FieldConfig>>`;
      lines.push(`export const ${at}_fields: ${type} = ${JSON.stringify(custom)};`);
    }
  }
  return lines.join('\n');
}

const modules = process.argv[2] === '--modules' && process.argv[3];
if (!modules) {
  console.error('check_types.mjs: --modules is missing; see the head of the file');
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'boards-types-'));
try {
  symlinkSync(join(resolve(modules), 'node_modules'), join(folder, 'node_modules'));
  const names = readdirSync(BOARDS).map((file) => file.replace('.json', ''));
  const texts = names.map((name) =>
    source(JSON.parse(readFileSync(join(BOARDS, `${name}.json`), 'utf8')), name));
  writeFileSync(join(folder, 'boards.ts'), `${HEAD}\n${texts.join('\n')}\n`);
  const flags = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'esnext', '--target', 'es2022',
    '--moduleResolution', 'bundler', '--types', '', 'boards.ts'];
  const { status, stdout, stderr } = spawnSync(join(folder, 'node_modules/.bin/tsc'), flags,
    { cwd: folder, encoding: 'utf8' });
  process.stderr.write((stdout ?? '') + (stderr ?? ''));
  console.log(`${names.length} boards against @grafana/schema: ${status === 0 ? 'no fault' : 'faults'}`);
  process.exitCode = status === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
