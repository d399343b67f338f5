// One component per kind of panel. TimeSeries, BigValue, BarGauge and TableNG are Grafana's; what its
// core adds around them (empty states, the list of bars, names beside bars) is redone here.
import { getFieldDisplayValues, renderTextPanelMarkdown } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, measureText } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

import { fieldConfig } from './frames.js';

function Empty({ panel }) {
  return <div className="empty">{panel.fieldConfig.defaults.noValue}</div>;
}

function displays({ panel, frames, theme }) {
  return getFieldDisplayValues({
    fieldConfig: fieldConfig(panel), reduceOptions: panel.options.reduceOptions, data: frames, theme,
    timeZone: 'utc', replaceVariables: (text) => text,
  });
}

function Lines({ panel, frames, range, width, height }) {
  if (!frames.length) return <Empty panel={panel} />;
  return (
    <TimeSeries frames={frames} timeRange={range} timeZone="utc" width={width} height={height}
      legend={panel.options.legend} structureRev={1} replaceVariables={(text) => text}
      options={panel.options} />
  );
}

function Stat({ panel, frames, theme, width, height }) {
  const [value] = displays({ panel, frames, theme });
  if (!frames.length) return <Empty panel={panel} />;
  return (
    <BigValue value={{ ...value.display, title: undefined }} theme={theme}
      width={width} height={height} graphMode={panel.options.graphMode} justifyMode="auto"
      colorMode={panel.options.colorMode} textMode="value" text={panel.options.text} />
  );
}

function Bars({ panel, frames, theme, width, height }) {
  if (!frames.length) return <Empty panel={panel} />;
  const values = displays({ panel, frames, theme });
  const room = Math.min(panel.options.maxVizHeight, Math.floor(height / values.length) - 8);
  const { titleSize } = panel.options.text;
  const widths = values.map(({ display }) => measureText(display.title, titleSize).width);
  const names = Math.min(width * 0.5, 20 + Math.max(...widths));
  return (
    <div className="bars">
      {values.map(({ display, field, view }, index) => (
        <div className="bar" key={index}>
          <div className="name" style={{ width: names, fontSize: titleSize }}>{display.title}</div>
          <BarGauge width={width - names - 8} height={room} theme={theme} value={display} field={field}
            display={view?.getFieldDisplayProcessor(values[index].colIndex)} orientation="horizontal"
            displayMode={panel.options.displayMode} itemSpacing={8}
            showUnfilled={panel.options.showUnfilled} text={panel.options.text}
            alignmentFactors={{ title: '', text: longestText(values) }} />
        </div>
      ))}
    </div>
  );
}

function longestText(values) {
  const texts = values.map(({ display }) =>
    `${display.prefix ?? ''}${display.text}${display.suffix ?? ''}`);
  return texts.sort((a, b) => b.length - a.length)[0];
}

function Table({ panel, frames, width, height }) {
  if (!frames.length || !frames[0].length) return <Empty panel={panel} />;
  return (
    <TableNG data={frames[0]} width={width} height={height} cellHeight={panel.options.cellHeight}
      structureRev={1} sortBy={panel.options.sortBy} fieldConfig={fieldConfig(panel)}
      enableVirtualization={false} noValue="" />
  );
}

function Text({ panel }) {
  const html = renderTextPanelMarkdown(panel.options.content);
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: html }} />;
}

export const KINDS = { timeseries: Lines, stat: Stat, bargauge: Bars, table: Table, text: Text };
