// Ten seconds: is it whole now, what hurt lately, what runs next.
import { get } from "./api.js";
import { activePanel } from "./active.js";
import { chartPanel } from "./chartpanel.js";
import { el, fill, fillIfNew, section } from "./dom.js";
import { awayText, chip, clockText, count, nowMs, plural, seconds, time, verdictChip } from "./format.js";
import { stateNow } from "./header.js";
import { live, onRuns } from "./live.js";
import { renewer } from "./renew.js";
import { runsTable } from "./runtable.js";
import { table } from "./table.js";
import { timelinePanel } from "./timeline.js";

const RECENT = 8;
const LATELY_HOURS = 24;

export const title = () => "Overview";

export async function show(main, _given, signal) {
  const [now, lately, next] = ["now", "lately", "next"].map((name) => el("section", { class: `card ${name}`, "aria-label": NAMES[name] }));
  const active = el("div");
  const recent = el("div");
  const probes = el("div");
  let day = null;
  const timeline = timelinePanel(signal, (found) => {
    day = found;
    fill(lately, latelyCard(day));
    drawNext();
  });
  const chart = chartPanel(signal);
  main.append(
    el("h1", { tabindex: "-1", class: "unseen" }, "Overview"),
    el("div", { class: "cards3" }, now, lately, next),
    active, section("Requests, second by second", chart.node), section("What happened", timeline.node),
    section("Last runs", recent, el("p", {}, el("a", { href: "/runs" }, "All runs"))), section("Probes", probes),
  );
  const drawNext = () => {
    const { status } = live;
    const planned = status && plannedFirings(status, day);
    fillIfNew(next, [Boolean(status), status?.stopped, planned], () => nextCard(status, planned));
  };
  const panel = activePanel(active);
  const draw = () => {
    fillIfNew(now, stateNow(), nowCard);
    drawNext();
    panel.draw();
    if (live.status && !probes.contains(document.activeElement)) fillIfNew(probes, live.status.probes, () => probesTable(live.status.probes));
  };
  const load = async () => {
    const found = await get(`/api/v1/runs?brief=true&limit=${RECENT}`, signal);
    fill(recent, runsTable(found.runs, "The last runs, newest first", false));
  };
  draw();
  fill(lately, latelyCard(null));
  live.addEventListener("status", draw, { signal });
  live.addEventListener("link", draw, { signal });
  const timer = setInterval(draw, 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
  onRuns(renewer(load, (error) => fill(recent, el("p", { class: "error" }, error.message)), signal), signal);
  await Promise.all([load(), timeline.load(), chart.load()]);
}

const NAMES = { now: "Now", lately: "What hurt lately", next: "What runs next" };

function nowCard() {
  const { state, label, reason, since_ns } = stateNow();
  return [
    el("h2", {}, "Now"),
    el("p", { class: "big", "data-state": state }, el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[state]), ` ${label}`),
    reason && el("p", { class: "why" }, reason),
    since_ns && el("p", { class: "help" }, "since ", time(since_ns), " (", awayText(since_ns), ")"),
  ];
}

const SIGNS = { whole: "✓", hurt: "✗", unknown: "?", loading: "…" };

function latelyCard(found) {
  const heading = el("h2", {}, "What hurt lately");
  if (!found) return [heading, el("p", {}, "Loading…")];
  const hurts = [...found.incidents.map(asHurt), ...found.runs.filter((r) => r.failed_requests > 0).map(runAsHurt)]
    .sort((a, b) => b.at - a.at);
  if (!hurts.length) return [heading, el("p", { class: "big" }, "Nothing"), el("p", { class: "help" }, `${doubts(found)} in the last ${LATELY_HOURS} h`)];
  const [last] = hurts;
  const failed = hurts.reduce((sum, h) => sum + h.failed, 0);
  return [
    heading,
    el("p", { class: "big" }, last.what),
    el("p", { class: "why" }, last.how),
    el("p", { class: "help" }, time(last.at), " (", awayText(last.at), ")"),
    el("p", { class: "help" }, `In ${LATELY_HOURS} h: ${plural(found.incidents.length, "incident")}, ${doubts(found)}, ${plural(failed, "failed request")}`),
  ];
}

function doubts(found) {
  const judged = found.runs.filter((r) => r.verdict && r.verdict !== "skipped");
  const missed = judged.filter((r) => r.met === false).length;
  return `${plural(judged.length, "run")}${missed ? `, ${count(missed)} missed an objective` : ""}`;
}

function asHurt(incident) {
  return {
    at: incident.start_ns, failed: incident.bad_requests,
    what: incident.end_ns ? "Incident" : "Incident, still open",
    how: `${plural(incident.bad_requests, "bad request")}; ${incident.first_error}`,
  };
}

function runAsHurt(run) {
  return {
    at: run.t_impact ?? run.t_inject ?? run.t_requested, failed: run.failed_requests,
    what: el("a", { href: `/runs/${encodeURIComponent(run.id)}` }, run.fault_name),
    how: [`${plural(run.failed_requests, "failed request")} in ${seconds(run.error_window_seconds)}`, " ", verdictChip(run.verdict)],
  };
}

function nextCard(status, planned) {
  const heading = el("h2", {}, "What runs next");
  if (!status) return [heading, el("p", {}, "Loading…")];
  if (status.stopped) return [heading, el("p", { class: "big" }, "Nothing"), el("p", { class: "why" }, "Stopped: no run begins until somebody resumes.")];
  if (!planned.length) return [heading, el("p", { class: "big" }, "Nothing planned"), el("p", { class: "help" }, el("a", { href: "/faults" }, "Trigger a fault by hand"))];
  const [first, ...others] = planned;
  return [
    heading,
    el("p", { class: "big" }, awayText(first.at_ns)),
    el("p", { class: "why" }, first.fault && [el("a", { href: `/faults/${encodeURIComponent(first.fault)}` }, first.fault), ", "],
      "schedule ", el("a", { href: "/schedule" }, first.schedule), ", at ", time(first.at_ns)),
    others.length > 0 && el("p", { class: "help" }, `then ${others.slice(0, 2).map((n) => `${n.fault ?? n.schedule} ${clockText(n.at_ns, false)}`).join(", ")}`),
  ];
}

/** Firings to come, soonest first. The live status knows each schedule's next instant, the timeline also its fault. */
function plannedFirings(status, day) {
  const known = (day?.next ?? []).filter((n) => n.at_ns / 1e6 > nowMs());
  const soonest = status.schedules.filter((s) => s.next_ns && !known.some((n) => n.schedule === s.name && n.at_ns <= s.next_ns))
    .map((s) => ({ schedule: s.name, at_ns: s.next_ns, fault: null }));
  return [...soonest, ...known].sort((a, b) => a.at_ns - b.at_ns);
}

function probesTable(probes) {
  return table("Each probe as it is now", [
    { name: "Probe", head: true, cell: (p) => p.name },
    { name: "Sending", cell: (p) => (p.up ? chip("good", "yes") : chip("bad", "no")) },
    { name: "Requests/s", number: true, cell: (p) => `${p.recent.rate} of ${p.request_rate}` },
    { name: "Bad in 10 s", number: true, cell: (p) => `${count(p.recent.bad)} of ${count(p.recent.requests)}` },
    { name: "In flight", number: true, cell: (p) => count(p.in_flight) },
    { name: "Overdue", number: true, cell: (p) => count(p.overdue) },
    { name: "Sent", number: true, cell: (p) => count(p.sent) },
    { name: "Lost", number: true, cell: (p) => count(p.lost) },
  ], probes, { empty: "No probe is configured." });
}
