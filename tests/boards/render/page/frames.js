// Query results → Grafana's data frames, as its Prometheus data source would make them.
import {
  FieldConfigOptionsRegistry, FieldType, applyFieldOverrides, cacheFieldDisplayNames,
  standardTransformers, standardTransformersRegistry, toDataFrame, transformDataFrame,
} from '@grafana/data';
import { firstValueFrom } from 'rxjs';

// The registry of transformations is filled by Grafana's core; its entries are in @grafana/data, some
// under an old and a new name.
export function initTransformers() {
  const all = new Map(Object.values(standardTransformers).map((one) => [one.id, one]));
  standardTransformersRegistry.setInit(() => [...all.values()].map((one) => ({
    id: one.id, name: one.name, transformation: () => Promise.resolve(one),
  })));
}

function legend(format, labels, title) {
  if (format === '__auto') return title;
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');
}

// A step without a sample is null, so that a line breaks where there was nothing.
function rangeFrame(series, target, panel) {
  const { start, end, step } = target.range;
  const samples = new Map(series.values.map(([time, value]) => [Math.round(time), Number(value)]));
  const times = [];
  for (let time = start; time <= end; time += step) times.push(time);
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: times.map((time) => time * 1000) },
      {
        name: 'Value', type: FieldType.number, labels: series.metric,
        values: times.map((time) => samples.get(Math.round(time)) ?? null),
        config: { displayNameFromDS: legend(target.legendFormat, series.metric, panel.title) },
      },
    ],
  });
}

function instantFrame(series, target, panel) {
  const [time, value] = series.value;
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: [time * 1000] },
      {
        name: 'Value', type: FieldType.number, labels: series.metric, values: [Number(value)],
        config: { displayNameFromDS: legend(target.legendFormat, series.metric, panel.title) },
      },
    ],
  });
}

function tableFrame(target, several) {
  const labels = [...new Set(target.result.flatMap((series) => Object.keys(series.metric)))].sort();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: target.result.map((s) => s.value[0] * 1000) },
      ...labels.map((label) => ({
        name: label, type: FieldType.string, values: target.result.map((s) => s.metric[label] ?? ''),
      })),
      {
        name: several ? `Value #${target.refId}` : 'Value', type: FieldType.number,
        values: target.result.map((series) => Number(series.value[1])),
      },
    ],
  });
}

export async function frames(panel, theme) {
  const several = panel.targets.length > 1;
  let made = panel.targets.flatMap((target) => {
    if (target.format === 'table') return target.result.length ? [tableFrame(target, several)] : [];
    const make = target.instant ? instantFrame : rangeFrame;
    return target.result.map((series) => make(series, target, panel));
  });
  const context = { interpolate: (text) => text };
  if (panel.transformations) {
    made = await firstValueFrom(transformDataFrame(panel.transformations, made, context));
  }
  const finished = applyFieldOverrides({
    data: made, fieldConfig: fieldConfig(panel), theme, timeZone: 'utc',
    replaceVariables: (text) => text, fieldConfigRegistry: registry(panel.fieldConfig),
  });
  cacheFieldDisplayNames(finished);
  return finished;
}

// JSON has no infinity: a base step is stored as null.
const openBase = (thresholds) => ({
  ...thresholds,
  steps: thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity })),
});

export function fieldConfig(panel) {
  const { defaults, overrides } = panel.fieldConfig;
  return { defaults: { ...defaults, thresholds: openBase(defaults.thresholds) }, overrides };
}

// Grafana's core knows every option of every panel; here an option is whatever this panel sets.
function registry(config) {
  const plain = ['unit', 'min', 'max', 'decimals', 'noValue', 'displayName', 'color', 'mappings',
    'links', 'thresholds'];
  const custom = new Set(Object.keys(config.defaults.custom ?? {}));
  for (const property of config.overrides.flatMap((rule) => rule.properties)) {
    if (property.id.startsWith('custom.')) custom.add(property.id.slice('custom.'.length));
  }
  const item = (id, path, isCustom) => ({
    id, path, isCustom, name: id, settings: {}, shouldApply: () => true,
    process: (value) => (path === 'thresholds' && value ? openBase(value) : value),
  });
  return new FieldConfigOptionsRegistry(() => [
    ...plain.map((id) => item(id, id, false)),
    ...[...custom].map((path) => item(`custom.${path}`, path, true)),
  ]);
}
