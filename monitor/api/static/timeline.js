// What happened over hours: faults, incidents and gaps in lanes; arrow keys go from mark to mark.
import { get } from "./api.js";
import { el, fill, freshId } from "./dom.js";
import { clockText, mood, plural, span, time, verdictText } from "./format.js";
import { onRuns } from "./live.js";
import { renewer } from "./renew.js";
import { table } from "./table.js";

const HOURS = [[6, "6 hours"], [24, "24 hours"], [168, "7 days"]];
const AHEAD = 1 / 12;
const RENEW_MS = 30000;

/** `node` and `load`; `onData` gets the timeline of the last 24 hours whenever it is new. */
export function timelinePanel(signal, onData) {
  const box = el("div");
  const id = freshId("hours");
  const select = el("select", { id, onchange: () => renew() }, HOURS.map(([value, text]) => el("option", { value, selected: value === 24 }, text)));
  const node = el("div", {}, el("p", { class: "tools" }, el("span", {}, el("label", { for: id }, "Show the last "), select)), box);
  async function load() {
    const hours = Number(select.value);
    const found = await get(`/api/v1/timeline?hours=${hours}`, signal);
    if (signal.aborted) return;
    fill(box, drawing(found, hours), asTable(found, box.querySelector("details")?.open ?? false));
    onData(hours === 24 ? found : await get("/api/v1/timeline?hours=24", signal));
  }
  const renew = renewer(load, (error) => fill(box, el("p", { class: "error" }, error.message)), signal);
  // While somebody moves along it by keyboard, it stays as it is.
  const unlessHeld = () => box.contains(document.activeElement) || renew();
  onRuns(unlessHeld, signal);
  const timer = setInterval(unlessHeld, RENEW_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  return { node, load };
}

function marks(found) {
  const end = found.to_ns;
  return [
    ["Faults", found.runs.map((r) => ({
      from: r.t_inject ?? r.t_requested, to: r.t_recovered ?? r.t_reverted ?? r.t_finished ?? (r.verdict ? r.t_requested : end),
      kind: kindOf(r), href: `/runs/${encodeURIComponent(r.id)}`,
      what: `${r.fault_name}: ${verdictText(r.verdict)}${r.failed_requests ? `, ${plural(r.failed_requests, "failed request")}` : ""}`,
    }))],
    ["Incidents", found.incidents.map((i) => ({
      from: i.start_ns, to: i.end_ns ?? end, kind: "bad",
      what: `incident${i.end_ns ? "" : ", still open"}: ${plural(i.bad_requests, "bad request")}; ${i.first_error}`,
    }))],
    ["Not measured", found.gaps.map((g) => ({
      from: g.start_ns, to: g.end_ns ?? end, kind: "warn", what: `${g.probe} was not measured: ${g.reason}`,
    }))],
    ["Planned", found.next.map((n) => ({ from: n.at_ns, to: n.at_ns, kind: "muted", what: `${n.fault} by schedule ${n.schedule}` }))],
  ];
}

/** Harm is not hidden by a good end: a run that hurt and recovered has a kind of its own. */
function kindOf(run) {
  const kind = mood(run.verdict);
  return run.failed_requests > 0 && kind === "good" ? "hurt" : kind;
}

const LEGEND = [["good", "nobody was hurt"], ["hurt", "hurt, and recovered"], ["bad", "not recovered, or an incident"], ["warn", "not known"], ["muted", "skipped, or planned"]];

function drawing(found, hours) {
  const begin = found.from_ns;
  const whole = (found.to_ns - begin) * (1 + AHEAD);
  const percent = (ns) => Math.min(100, Math.max(0, ((ns - begin) / whole) * 100));
  const lanes = marks(found).map(([name, list]) => el("div", { class: "lane" },
    el("span", { class: "lane-name" }, name),
    el("div", { class: "track" }, list.filter((m) => m.from <= begin + whole).sort((a, b) => a.from - b.from).map((m) => mark(m, percent)))));
  const now = placed(el("div", { class: "now-line" }, el("span", {}, "now")), percent(found.to_ns), 0);
  const axis = el("div", { class: "lane axis", "aria-hidden": "true" }, el("span", { class: "lane-name" }),
    el("div", { class: "track" }, ticks(found, hours).map((ns) => placed(el("span", { class: "tick" }, tickText(ns)), percent(ns), 0))));
  const names = el("div", { class: "over", "aria-hidden": "true" }, el("span", { class: "lane-name" }), el("div", { class: "track" }, now));
  const made = el("div", { class: "timeline", role: "group", "aria-label": "Timeline; arrow keys go from mark to mark" }, lanes, names, axis);
  const all = [...made.querySelectorAll(".mark")];
  all.sort((a, b) => Number(a.dataset.from) - Number(b.dataset.from));
  all.at(-1)?.setAttribute("tabindex", "0");
  made.addEventListener("keydown", (event) => step(event, all));
  const legend = el("ul", { class: "legend", "aria-hidden": "true" }, LEGEND.map(([kind, text]) => el("li", {}, el("span", { class: "swatch mark-like", "data-kind": kind }), text)));
  return [made, el("p", { class: "help told", "aria-hidden": "true" }, "Point at a mark, or go to it with the keyboard, to read it."), legend];
}

function mark({ from, to, kind, href, what }, percent) {
  const long = to > from ? `, ${span((to - from) / 1e9)}` : "";
  const text = `${clockText(from)}${long}: ${what}`;
  const tell = (event) => {
    const line = event.target.closest(".timeline")?.nextElementSibling;
    if (line) line.textContent = text;
  };
  const made = el(href ? "a" : "span", {
    class: "mark", "data-kind": kind, "data-from": from, href, tabindex: "-1", role: href ? null : "img",
    "aria-label": text, title: text, onfocus: tell, onpointerenter: tell,
  });
  return placed(made, percent(from), percent(to) - percent(from));
}

function placed(node, left, width) {
  node.style.left = `${left}%`; // by CSSOM, which the content security policy allows
  if (width) node.style.width = `${width}%`;
  return node;
}

function step(event, all) {
  const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -all.length, End: all.length };
  if (!(event.key in moves) || !all.length) return;
  event.preventDefault();
  const at = all.indexOf(document.activeElement);
  const next = all[Math.min(all.length - 1, Math.max(0, at + moves[event.key]))];
  for (const one of all) one.setAttribute("tabindex", one === next ? "0" : "-1");
  next.focus();
}

/** Round local hours, about six of them. */
function ticks(found, hours) {
  const stepHours = { 6: 1, 24: 4, 168: 24 }[hours] ?? 24;
  const at = new Date(found.from_ns / 1e6);
  at.setMinutes(0, 0, 0);
  const list = [];
  while (at.getTime() * 1e6 < found.to_ns) {
    at.setHours(at.getHours() + 1);
    if (at.getHours() % Math.min(stepHours, 24) === 0 && at.getTime() * 1e6 < found.to_ns - (found.to_ns - found.from_ns) * 0.04) list.push(at.getTime() * 1e6);
  }
  return list;
}

function tickText(ns) {
  const at = new Date(ns / 1e6);
  return at.toLocaleString(undefined, at.getHours() ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : { day: "numeric", month: "short" });
}

function asTable(found, open) {
  const rows = marks(found).flatMap(([lane, list]) => list.map((m) => ({ lane, ...m }))).sort((a, b) => b.from - a.from);
  return el("details", { open }, el("summary", {}, "The same as a table"), table("Timeline, newest first", [
    { name: "When", head: true, cell: (m) => time(m.from) },
    { name: "Kind", cell: (m) => m.lane },
    { name: "What", cell: (m) => (m.href ? el("a", { href: m.href }, m.what) : m.what) },
    { name: "Length", number: true, cell: (m) => (m.to > m.from ? span((m.to - m.from) / 1e9) : "–") },
  ], rows, { empty: "Nothing happened.", visible: false }));
}
