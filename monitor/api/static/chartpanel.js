// The probe chart with what is around it: which probe, how far back, and the same in words.
import { get } from "./api.js";
import { ProbeChart } from "./chart.js";
import { el, fill, freshId } from "./dom.js";
import { clockText, count, nowMs, plural, span } from "./format.js";
import { live } from "./live.js";
import { renewer } from "./renew.js";
import { Series } from "./series.js";
import { table } from "./table.js";

const REACHES = [[600, "10 minutes"], [3600, "1 hour"], [21600, "6 hours"], [86400, "24 hours"]];
const RENEW_MS = 30000;
const WORDS_MS = 5000;
const BUCKET = 10;

/** `node` and `load`. Seconds are drawn as they come; longer reaches are fetched anew now and then. */
export function chartPanel(signal) {
  const state = { series: new Map(), faults: new Map(), probe: null, step: 1 };
  const ids = [freshId("probe"), freshId("reach")];
  const probes = el("select", { id: ids[0], onchange: () => { state.probe = probes.value; draw(); tell(); } });
  const reach = el("select", { id: ids[1], onchange: () => renew() }, REACHES.map(([value, text]) => el("option", { value }, text)));
  const box = el("div", { class: "chart", role: "img" });
  const words = el("div");
  const pointed = el("p", { class: "help pointed", "aria-hidden": "true" });
  const trouble = el("p", { class: "error", hidden: true });
  const which = el("span", {}, el("label", { for: ids[0] }, "Probe "), probes);
  const node = el("div", {},
    el("p", { class: "tools" }, which, el("span", {}, el("label", { for: ids[1] }, "Show the last "), reach)),
    trouble, box, pointed, legend(), words);
  const chart = new ProbeChart(box, () => shades(state), signal, (index) => { pointed.textContent = pointText(seriesNow(), index); });

  const seriesNow = () => state.series.get(state.probe);
  const draw = () => {
    const series = seriesNow();
    if (!series || !box.isConnected) return;
    const to = nowMs() / 1000;
    chart.show(series, [to - Number(reach.value), to]);
  };
  const tell = () => {
    const series = seriesNow();
    if (!series) return fill(words, el("p", { class: "empty" }, "No probe has measured anything yet."));
    box.setAttribute("aria-label", sentence(state.probe, series));
    const open = words.querySelector("details")?.open ?? false;
    return fill(words, minuteTable(series, open));
  };
  async function load() {
    const found = await get(`/api/v1/series?seconds=${reach.value}`, signal);
    if (signal.aborted) return;
    state.step = found.step_seconds;
    state.series = new Map(Object.entries(found.probes).map(([name, one]) => [name, new Series(one, found.step_seconds, Number(reach.value))]));
    choose();
    trouble.hidden = true;
    requestAnimationFrame(() => { draw(); tell(); });
  }
  function choose() {
    const names = [...state.series.keys()];
    if (!names.includes(state.probe)) state.probe = names[0] ?? null;
    fill(probes, names.map((name) => el("option", { value: name, selected: name === state.probe }, name)));
    which.hidden = names.length < 2;
  }
  const renew = renewer(load, (error) => {
    trouble.hidden = false;
    trouble.textContent = error.message;
  }, signal);

  live.addEventListener("second", ({ detail }) => {
    if (state.step !== 1) return;
    const known = state.series.get(detail.probe);
    if (known) known.take(detail);
    else {
      state.series.set(detail.probe, new Series({ at_ns: [], good: [], bad: [], gap: [], latency_p50_ms: [], latency_p95_ms: [] }, 1, Number(reach.value)));
      state.series.get(detail.probe).take(detail);
      choose();
    }
    if (detail.probe === state.probe) draw();
  }, { signal });
  live.addEventListener("missed", renew, { signal });
  live.addEventListener("run", ({ detail }) => remember(state, detail), { signal });
  const timers = [setInterval(tell, WORDS_MS), setInterval(draw, 1000), setInterval(() => state.step !== 1 && renew(), RENEW_MS)];
  signal.addEventListener("abort", () => timers.forEach(clearInterval));
  return { node, load: async () => { await load(); await loadFaults(state, signal); } };
}

async function loadFaults(state, signal) {
  const { runs } = await get("/api/v1/runs?brief=true&limit=100", signal);
  for (const run of runs) remember(state, run);
}

function remember(state, run) {
  if (run.t_inject && run.kind !== "none") state.faults.set(run.id, run);
}

function shades(state) {
  const now = nowMs() / 1000;
  const series = state.series.get(state.probe);
  return {
    // A second is sent about 3 s after it began; until then it is not missing.
    gaps: series?.gaps(now - 8 * state.step) ?? [],
    faults: [...state.faults.values()].map((r) => [r.t_inject / 1e9, endOf(r, now)]),
  };
}

/** Put back, and recovered from; a run that is over has nothing later. */
function endOf(run, now) {
  const known = Math.max(run.t_reverted ?? 0, run.t_recovered ?? 0);
  return (known || (run.t_finished ?? now * 1e9)) / 1e9;
}

function legend() {
  const item = (kind, text) => el("li", {}, el("span", { class: "swatch", "data-kind": kind }), text);
  return el("ul", { class: "legend", "aria-label": "Legend" },
    item("good", "good"), item("bad", "bad"), item("p95", "95 % of requests within"), item("p50", "half of them within"),
    item("fault", "a fault, until put back and recovered from"), item("gap", "not measured"));
}

/** The second under the pointer, in words. */
function pointText(series, index) {
  if (!series || index === null || series.at[index] === undefined) return "";
  const ms = (value) => (value === null ? "–" : `${Math.round(value)} ms`);
  const what = series.step === 1 ? "" : ` and ${span(series.step)} from there`;
  return `${clockText(series.at[index] * 1e9)}${what}: ${count(series.good[index])} good, ${count(series.bad[index])} bad, `
    + `95 % within ${ms(series.latency_p95_ms[index])}, half within ${ms(series.latency_p50_ms[index])}${series.gap[index] ? "; not all of it measured" : ""}`;
}

function sentence(probe, series) {
  const sum = series.recent(60);
  const parts = [`Probe ${probe}, last minute: ${plural(sum.good, "good request")}, ${count(sum.bad)} bad`];
  if (sum.p95 !== null) parts.push(`95 % within ${count(Math.round(sum.p95))} ms at worst`);
  if (sum.gaps) parts.push(`${span(sum.gaps)} not measured`);
  return `${parts.join(", ")}. Figures are in the table below.`;
}

function minuteTable(series, open) {
  const width = Math.max(BUCKET, series.step);
  const rows = new Map();
  series.at.slice(-Math.ceil(120 / series.step)).forEach((at, index, list) => {
    const place = series.at.length - list.length + index;
    const from = Math.floor(at / width) * width;
    const row = rows.get(from) ?? { from, good: 0, bad: 0, gap: false, p95: null };
    row.good += series.good[place];
    row.bad += series.bad[place];
    row.gap ||= series.gap[place];
    row.p95 = Math.max(row.p95 ?? 0, series.latency_p95_ms[place] ?? 0) || null;
    rows.set(from, row);
  });
  return el("details", { open }, el("summary", {}, "The last two minutes as a table"), table(
    `Requests by start, ${width} s a row, newest first`, [
      { name: "From", head: true, cell: (r) => clockText(r.from * 1e9) },
      { name: "Good", number: true, cell: (r) => count(r.good) },
      { name: "Bad", number: true, cell: (r) => count(r.bad) },
      { name: "95 % within (worst second)", number: true, cell: (r) => (r.p95 === null ? "–" : `${count(Math.round(r.p95))} ms`) },
      { name: "Measured", cell: (r) => (r.gap ? "not all" : "yes") },
    ], [...rows.values()].reverse(), { visible: false }));
}
