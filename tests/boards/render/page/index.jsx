// Draws one board: a head with its variables, then every panel where the grid puts it.
import { createTheme, dateTime, locationUtil } from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { GlobalStyles, Icon, PanelChrome } from '@grafana/ui';
import { ThemeContext } from '@grafana/data';
import { createRoot } from 'react-dom/client';

import { frames, initTransformers } from './frames.js';
import './font.css';
import { KINDS } from './panels.jsx';

const GAP = 8, ROW = 30, EDGE = 16, COLUMNS = 24;
const theme = createTheme({ colors: { mode: 'dark' } });

function Head({ board, width }) {
  return (
    <header className="board-head" style={{ width }}>
      <h1>{board.title}</h1>
      <nav>{board.links.map((link) => <span key={link.url}>{link.title}</span>)}</nav>
      <div className="choices">
        {board.choices.map(({ label, text }) => (
          <div key={label}><span>{label}</span><b>{text}</b></div>
        ))}
        <div className="range"><Icon name="clock-nine" /> {board.rangeText}</div>
      </div>
    </header>
  );
}

function place({ x, y, w, h }, width) {
  const column = (width + GAP) / COLUMNS;
  return {
    left: x * column, top: y * (ROW + GAP), width: w * column - GAP, height: h * (ROW + GAP) - GAP,
  };
}

function Panel({ panel, data, range, width }) {
  const spot = place(panel.gridPos, width);
  if (panel.type === 'row') {
    return <div className="board-row" style={spot}><Icon name="angle-down" /> {panel.title}</div>;
  }
  const Kind = KINDS[panel.type];
  return (
    <div className="board-panel" data-panel={panel.title} style={spot}>
      <PanelChrome title={panel.title} description={panel.description} width={spot.width}
        height={spot.height} padding="md">
        {(inner, height) => (
          <Kind panel={panel} frames={data} theme={theme} range={range} width={inner} height={height} />
        )}
      </PanelChrome>
    </div>
  );
}

function Board({ board, data }) {
  const width = board.width - 2 * EDGE;
  const rows = Math.max(...board.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const range = { from: dateTime(board.from * 1000), to: dateTime(board.to * 1000) };
  range.raw = { from: range.from, to: range.to };
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Head board={board} width={width} />
      <main style={{ width, height: rows * (ROW + GAP) }}>
        {board.panels.map((panel, index) => (
          <Panel key={panel.id} panel={panel} data={data[index]} range={range} width={width} />
        ))}
      </main>
    </ThemeContext.Provider>
  );
}

// What would be wrong on the picture and is no error of the page.
function faults() {
  const found = [];
  for (const panel of document.querySelectorAll('.board-panel')) {
    const text = panel.innerText;
    for (const word of ['NaN', 'Infinity', 'undefined', '[object', 'Invalid date']) {
      if (text.includes(word)) found.push(`${panel.dataset.panel}: shows ${word}`);
    }
    if (!panel.querySelector('canvas, [role=grid], .bar, .empty') && !/\S/.test(text)) {
      found.push(`${panel.dataset.panel}: shows nothing`);
    }
  }
  return found;
}

async function main() {
  await initPluginTranslations('weighbridge-boards');
  initTransformers();
  locationUtil.initialize({
    config: { appSubUrl: '' }, getVariablesUrlParams: () => ({}), getTimeRangeForUrl: () => ({}),
  });
  // Widths of text are measured while drawing, so the font must be there first.
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 14px "Inter"`)));
  const board = await (await fetch('board.json')).json();
  const data = [];
  for (const panel of board.panels) {
    data.push(['row', 'text'].includes(panel.type) ? [] : await frames(panel, theme));
  }
  createRoot(document.getElementById('board')).render(<Board board={board} data={data} />);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  window.drawn = { height: document.documentElement.scrollHeight, faults: faults() };
}

main().catch((error) => { window.drawn = { error: String(error?.stack ?? error) }; });
