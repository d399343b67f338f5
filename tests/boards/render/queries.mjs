// The panels' queries as Grafana would send them, answered by a real Prometheus.

const SCRAPE = 15;
// Grafana's round steps for a calculated interval, in seconds: [up to, becomes].
const ROUND = [[7.5, 5], [12.5, 10], [17.5, 15], [25, 20], [45, 30], [90, 60], [210, 120], [450, 300],
  [750, 600], [1050, 900], [1500, 1200], [2700, 1800], [5400, 3600], [9000, 7200], [16200, 10800],
  [32400, 21600], [64800, 43200], [604800, 86400]];
const UNITS = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

export function seconds(text) {
  const [, count, unit] = /^(\d+)([smhdw])$/.exec(text);
  return Number(count) * UNITS[unit];
}

// `now-7d` and `now/M`: all that the boards use.
export function rangeStart(from, now) {
  if (from === 'now/M') {
    const day = new Date(now * 1000);
    return Date.UTC(day.getUTCFullYear(), day.getUTCMonth(), 1) / 1000;
  }
  return now - seconds(from.replace('now-', ''));
}

function interval(panel, range, pixels) {
  const wanted = range / pixels;
  const round = ROUND.find(([limit]) => wanted < limit)?.[1] ?? 604800;
  return Math.max(round, SCRAPE, panel.interval ? seconds(panel.interval) : 0);
}

export function substitute(expr, { range, step, choices }) {
  const named = {
    __range: `${range}s`, __interval: `${step}s`,
    __rate_interval: `${Math.max(step + SCRAPE, 4 * SCRAPE)}s`, ...choices,
  };
  return expr.replace(/\$([A-Za-z_]\w*)/g, (whole, name) => {
    if (!(name in named)) throw new Error(`no value for ${whole} in ${expr}`);
    return named[name];
  });
}

async function ask(base, path, parameters) {
  const answer = await fetch(new URL(path, base), {
    method: 'POST', body: new URLSearchParams(parameters), signal: AbortSignal.timeout(60_000),
  });
  const { status, data, error } = await answer.json();
  if (status !== 'success') throw new Error(`${error}: ${parameters.query}`);
  return data.result;
}

// The board with a result beside each of its targets.
export async function answered(base, board, { from, to, width, choices }) {
  const panels = [];
  for (const panel of board.panels) {
    const targets = [];
    for (const target of panel.targets ?? []) {
      const pixels = Math.max((width * panel.gridPos.w) / 24 - 40, 100);
      const step = interval(panel, to - from, pixels);
      const query = substitute(target.expr, { range: to - from, step, choices });
      const range = { start: Math.floor(from / step) * step, end: Math.floor(to / step) * step, step };
      const result = target.instant
        ? await ask(base, 'api/v1/query', { query, time: to })
        : await ask(base, 'api/v1/query_range', { query, ...range });
      targets.push({ ...target, range, result });
    }
    panels.push({ ...panel, targets });
  }
  return { ...board, panels };
}
