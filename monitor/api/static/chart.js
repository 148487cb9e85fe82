// Two charts over one time axis, by uPlot: requests per second (good and bad, stacked), and latency.
import uPlot from "./uPlot.esm.js";

const HEIGHT = 150;
const dark = matchMedia("(prefers-color-scheme: dark)");

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return { text: of("muted"), grid: of("line"), good: of("chart-good"), bad: of("chart-bad"), p50: of("chart-p50"), p95: of("chart-p95"), gap: of("chart-gap"), fault: of("chart-fault") };
}

/** Draws into `box`; `shades()` gives {gaps, faults} as [from, to] in seconds. */
export class ProbeChart {
  #plots = [];
  #observer;

  constructor(box, shades, signal, onPoint) {
    this.box = box;
    this.onPoint = onPoint;
    this.shades = shades;
    this.data = null;
    this.#observer = new ResizeObserver(() => this.#resize());
    this.#observer.observe(box);
    dark.addEventListener("change", () => this.#make(), { signal });
    signal.addEventListener("abort", () => { this.#observer.disconnect(); this.#clear(); });
  }

  /** Show a series; `range`: [from, to] in seconds. */
  show(series, range) {
    this.range = range;
    const perSecond = (list) => list.map((value, index) => (series.gap[index] && !value ? null : value / series.step));
    const good = perSecond(series.good);
    const bad = perSecond(series.bad);
    const total = good.map((value, index) => (value === null && bad[index] === null ? null : (value ?? 0) + (bad[index] ?? 0)));
    this.data = [[series.at, total, bad], [series.at, series.latency_p95_ms, series.latency_p50_ms]];
    if (!this.#plots.length) this.#make();
    this.#plots.forEach((plot, index) => {
      plot.batch(() => {
        plot.setData(this.data[index], false);
        plot.setScale("x", { min: range[0], max: range[1] });
        plot.redraw();
      });
    });
  }

  #clear() {
    for (const plot of this.#plots) plot.destroy();
    this.#plots = [];
  }

  #make() {
    this.#clear();
    if (!this.data) return;
    const c = colours();
    const bars = uPlot.paths.bars({ size: [1, 40], align: 1, gap: 0 });
    this.#plots = [
      this.#plot(0, "requests/s", c, [
        { label: "good", stroke: c.good, fill: c.good, paths: bars, points: { show: false }, width: 0 },
        { label: "bad", stroke: c.bad, fill: c.bad, paths: bars, points: { show: false }, width: 0 },
      ]),
      this.#plot(1, "latency ms", c, [
        { label: "95 % within", stroke: c.p95, width: 1.6, points: { show: false } },
        { label: "half within", stroke: c.p50, width: 1.6, dash: [5, 3], points: { show: false } },
      ]),
    ];
  }

  #plot(index, name, c, series) {
    const axis = { stroke: c.text, grid: { stroke: c.grid, width: 1 }, ticks: { stroke: c.grid, width: 1 }, font: "12px system-ui, sans-serif" };
    const options = {
      width: this.box.clientWidth || 300, height: HEIGHT,
      cursor: { sync: { key: "probe" }, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: true, auto: false, range: () => this.range }, y: { range: (u, low, high) => [0, Math.max(1, (high ?? 1) * 1.1)] } },
      axes: [
        { ...axis, space: 90, values: (u, ticks, at, space, step) => ticks.map((t) => clock(t, step)) },
        { ...axis, size: 52, label: name, labelSize: 16, labelFont: "12px system-ui, sans-serif", labelGap: 0 },
      ],
      legend: { show: false },
      series: [{}, ...series],
      hooks: { drawClear: [(u) => this.#shade(u, c)], setCursor: [(u) => this.onPoint(u.cursor.idx ?? null)] },
    };
    return new uPlot(options, this.data[index], this.box);
  }

  /** What was not measured is hatched; where a fault acted there is a plain band. */
  #shade(u, c) {
    const { gaps, faults } = this.shades();
    const { left, top, width, height } = u.bbox;
    const { ctx } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    const x = (at) => Math.min(left + width, Math.max(left, u.valToPos(at, "x", true)));
    const seen = ([from, to]) => to >= this.range[0] && from <= this.range[1];
    for (const [from, to] of faults.filter(seen)) {
      ctx.fillStyle = c.fault;
      ctx.fillRect(x(from), top, Math.max(2, x(to) - x(from)), height);
    }
    for (const [from, to] of gaps.filter(seen)) hatch(ctx, x(from), x(to), top, height, c.gap);
    ctx.restore();
  }

  #resize() {
    const width = this.box.clientWidth;
    for (const plot of this.#plots) if (width && plot.width !== width) plot.setSize({ width, height: HEIGHT });
  }
}

function hatch(ctx, from, to, top, height, colour) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(from, top, Math.max(2, to - from), height);
  ctx.clip();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.beginPath();
  for (let at = from - height; at < to; at += 8 * devicePixelRatio) {
    ctx.moveTo(at, top + height);
    ctx.lineTo(at + height, top);
  }
  ctx.stroke();
  ctx.restore();
}

function clock(at, step) {
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (step < 60) options.second = "2-digit";
  return new Date(at * 1000).toLocaleTimeString(undefined, options);
}
