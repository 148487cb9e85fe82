// The run in progress: its phases, and how long it may still take.
import { el, fill, fillIfNew, pairs, section } from "./dom.js";
import { awayText, span, nowMs, time } from "./format.js";
import { live } from "./live.js";

const PHASES = ["requested", "guarded", "resolved", "planned", "injected", "effective", "reverted", "settled", "finished"];

/** The phases as an ordered list; `at` maps a phase to its instant. */
export function phaseList(at, current) {
  const reached = PHASES.indexOf(current);
  return el("ol", { class: "phases", "aria-label": "Phases" }, PHASES.map((phase, index) => {
    const ns = at.get(phase);
    const state = index === reached && phase !== "finished" ? "now" : ns ? "done" : index < reached ? "left-out" : "to-come";
    return el("li", { "data-state": state, "aria-current": state === "now" ? "step" : null },
      el("span", { class: "name" }, phase),
      el("span", { class: "at" }, ns ? time(ns) : state === "left-out" ? "left out" : ""));
  }));
}

function remaining(active) {
  if (!active.ends_by_ns) return null;
  const left = active.ends_by_ns / 1e6 - nowMs();
  return [left > 0 ? `${span(left / 1000)} at most` : "any moment", ` (by `, time(active.ends_by_ns), ")"];
}

/** Keeps `box` in step with the active run of the live status; empty when there is none, or not the one of `id`. */
export function activePanel(box, id = null) {
  return {
    draw() {
      const found = live.status?.active ?? null;
      const active = id === null || found?.id === id ? found : null;
      fillIfNew(box, active, () => active && panel(active));
      const left = box.querySelector(".remaining dd");
      if (left && active) fill(left, remaining(active));
    },
  };
}

function panel(active) {
  const at = new Map(active.phases.map((p) => [p.phase, p.at_ns]));
  const made = section("In progress",
    el("p", { class: "lead" }, el("a", { href: `/runs/${encodeURIComponent(active.id)}` }, active.fault_name), `: ${active.doing}`),
    phaseList(at, active.phase),
    pairs([
      ["Instances", active.instances.join(", ") || "not chosen yet"],
      ["In this phase", active.phase_since_ns && ["since ", time(active.phase_since_ns), " (", awayText(active.phase_since_ns), ")"]],
      ["Waits for", active.ends_because],
      ["Asked for by", active.requested_by],
    ]),
    active.ends_by_ns && pairs([["Remaining", remaining(active)]], { class: "pairs remaining" }));
  made.classList.add("active-run");
  return made;
}
