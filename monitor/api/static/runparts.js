// The tables of a run's page.
import { el } from "./dom.js";
import { chip, count, seconds, time, verdictChip } from "./format.js";
import { table } from "./table.js";

const UNITS = { recovery_seconds: "s", error_window_seconds: "s" };

export function objectivesTable(results) {
  const figure = (value, name) => (value === null ? "–" : UNITS[name] ? seconds(value) : count(value));
  return table("Limits that the run had to meet", [
    { name: "Objective", head: true, cell: (r) => r.objective.replaceAll("_", " ") },
    { name: "Limit", number: true, cell: (r) => figure(r.limit, r.objective) },
    { name: "Value", number: true, cell: (r) => figure(r.value, r.objective) },
    { name: "Judged", cell: (r) => (r.met === null ? chip("warn", "cannot be judged") : r.met ? chip("good", "met") : chip("bad", "missed")) },
  ], results);
}

export function witnessesTable(witnesses) {
  const figure = (value, w) => seconds(value) + (w.censored && value !== null ? " or more" : "");
  return table("Durations from each source of measurement; seconds, with their resolution", [
    { name: "Witness", head: true, cell: (w) => (w.probe ? `${w.witness}, probe ${w.probe}` : w.witness) },
    { name: "Says", cell: (w) => (w.status === "ok" ? verdictChip(w.verdict) : chip("warn", w.status)) },
    { name: "Failed", number: true, cell: (w) => (w.requests === null ? count(w.failed_requests) : `${count(w.failed_requests)} of ${count(w.requests)}`) },
    { name: "Impact", cell: (w) => time(w.t_impact) },
    { name: "Error window", number: true, cell: (w) => figure(w.error_window_seconds, w) },
    { name: "Recovery from effect", number: true, cell: (w) => figure(w.recovery_from_effect_seconds, w) },
    { name: "Resolution", cell: (w) => w.resolution?.text || "–" },
    { name: "Notes", cell: (w) => [w.reason, ...errors(w), ...w.notes].filter(Boolean).join("; ") || "–" },
  ], witnesses);
}

function errors(witness) {
  return Object.entries(witness.errors ?? {}).map(([name, times]) => `${count(times)} × ${name}`);
}

export function comparisonsTable(comparisons) {
  const kinds = { agree: "good", disagree: "bad", not_compared: "muted" };
  return table("Each pair of witnesses", [
    { name: "Witnesses", head: true, cell: (c) => `${c.a} and ${c.b}` },
    { name: "Figure", cell: (c) => c.figure.replaceAll("_", " ") },
    { name: "They", cell: (c) => chip(kinds[c.status] ?? "muted", c.status.replaceAll("_", " ")) },
    { name: "Difference", number: true, cell: (c) => (c.difference === null ? "–" : `${Number(c.difference.toFixed(2))} ${c.unit}`) },
    { name: "Why", cell: (c) => c.text || c.reason.replaceAll("_", " ") || "–" },
  ], comparisons);
}

export function instancesTable(instances) {
  return table("What the fault acts on", [
    { name: "Instance", head: true, cell: (i) => i.name },
    { name: "Component", cell: (i) => i.component },
    ...(instances.some((i) => i.pod) ? [{ name: "Pod", cell: (i) => (i.pod ? `${i.pod.namespace}/${i.pod.name}` : "–") }] : []),
    { name: "Processes", cell: (i) => (i.processes.length ? i.processes : i.process ? [i.process] : []).map((p) => el("span", { class: "line" }, `${p.pid} ${p.command}`)) },
  ], instances);
}
