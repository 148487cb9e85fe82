// Figures and instants for people. Instants come as UTC nanoseconds.
import { el } from "./dom.js";

const DASH = "–";
let offsetMs = 0;

/** The monitor's clock rules; a browser's may be wrong. */
export function setServerClock(nowNs) {
  offsetMs = nowNs / 1e6 - Date.now();
}

export function nowMs() {
  return Date.now() + offsetMs;
}

/** Seconds with a unit, as sharp as is useful. */
export function seconds(value, digits) {
  if (value === null || value === undefined) return DASH;
  const size = Math.abs(value);
  if (digits !== undefined) return `${value.toFixed(digits)} s`;
  if (size < 10) return `${value.toFixed(2)} s`;
  if (size < 120) return `${value.toFixed(1)} s`;
  return span(value);
}

/** A length of time in words: 3 min 12 s. */
export function span(value) {
  const whole = Math.max(0, Math.round(value));
  const [d, h, m, s] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  if (d) return h ? `${d} d ${h} h` : `${d} d`;
  if (h) return m ? `${h} h ${m} min` : `${h} h`;
  if (m) return s ? `${m} min ${s} s` : `${m} min`;
  return `${s} s`;
}

export function count(value) {
  return value === null || value === undefined ? DASH : value.toLocaleString("en");
}

export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const SHORT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** Local text of an instant; the day only when it is not today. */
export function clockText(ns, sharp = true) {
  const at = new Date(ns / 1e6);
  const clock = (sharp ? CLOCK : SHORT).format(at);
  return at.toDateString() === new Date(nowMs()).toDateString() ? clock : `${DAY.format(at)} ${clock}`;
}

export function utcText(ns) {
  return `${new Date(ns / 1e6).toISOString().replace("T", " ").replace("Z", "")} UTC`;
}

/** `<time>` in local time with UTC as its title. */
export function time(ns, sharp = true) {
  if (ns === null || ns === undefined) return DASH;
  const at = new Date(ns / 1e6).toISOString();
  return el("time", { datetime: at, title: utcText(ns) }, clockText(ns, sharp));
}

/** "3 min ago" or "in 3 min", as text of its own so that it can be renewed. */
export function away(ns) {
  const delta = (ns / 1e6 - nowMs()) / 1000;
  return delta >= 0 ? `in ${span(delta)}` : `${span(-delta)} ago`;
}

/** A text of `away` that keeps itself right: see `tickAway`. */
export function awayText(ns) {
  return el("span", { class: "away", "data-ns": ns }, away(ns));
}

/** Renew every `awayText` of the page. */
export function tickAway() {
  for (const node of document.querySelectorAll(".away")) {
    const text = away(Number(node.dataset.ns));
    if (node.textContent !== text) node.textContent = text;
  }
}

const WORDS = {
  no_impact: "no impact", recovered: "recovered", not_recovered: "not recovered", inconclusive: "inconclusive",
  not_injected: "not injected", aborted: "aborted", skipped: "skipped", revert_failed: "revert failed",
};
const MOODS = {
  no_impact: "good", recovered: "good", not_recovered: "bad", inconclusive: "warn", not_injected: "warn",
  aborted: "warn", skipped: "muted", revert_failed: "bad",
};
const MARKS = { good: "✓", bad: "✗", warn: "!", muted: "·", busy: "…" };

export const VERDICTS = Object.keys(WORDS);

export function verdictText(verdict) {
  return verdict ? WORDS[verdict] ?? verdict : "running";
}

export function mood(verdict) {
  return verdict ? MOODS[verdict] ?? "warn" : "busy";
}

/** A chip: a mark beside the words, so that colour is never alone. */
export function chip(kind, text) {
  return el("span", { class: "chip", "data-kind": kind }, el("span", { "aria-hidden": "true" }, MARKS[kind] ?? "·"), ` ${text}`);
}

export function verdictChip(verdict) {
  return chip(mood(verdict), verdictText(verdict));
}

/** Whether all objectives were met, as a chip; nothing when none was judged. */
export function metChip(met) {
  if (met === null || met === undefined) return null;
  return met ? chip("good", "met") : chip("bad", "missed");
}
