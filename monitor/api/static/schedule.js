// Schedules with what they do next.
import { get } from "./api.js";
import { el, fill, section } from "./dom.js";
import { awayText, chip, count, time } from "./format.js";
import { onRuns } from "./live.js";
import { renewer } from "./renew.js";
import { table } from "./table.js";

const RENEW_MS = 30000;

export const title = () => "Schedule";

export async function show(main, _given, signal) {
  const body = el("div");
  const load = async () => {
    const { schedules } = await get("/api/v1/schedules", signal);
    if (!signal.aborted) fill(body, parts(schedules));
  };
  const again = renewer(load, (error) => fill(body, el("p", { class: "error" }, error.message)), signal);
  const renew = () => body.contains(document.activeElement) || again();
  main.append(el("h1", { tabindex: "-1" }, "Schedule"), body);
  onRuns(renew, signal);
  const timer = setInterval(renew, RENEW_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  await load();
}

function parts(schedules) {
  if (!schedules.length) {
    return el("p", { class: "empty" }, "The configuration has no schedule. ", el("a", { href: "/faults" }, "Trigger a fault by hand"), ".");
  }
  const next = schedules.filter((s) => s.enabled).flatMap((s) => s.next.map((n) => ({ ...n, schedule: s.name }))).sort((a, b) => a.at_ns - b.at_ns);
  return [
    section("What runs next", table("Firings to come, soonest first", [
      { name: "At", head: true, cell: (n) => time(n.at_ns) },
      { name: "In", cell: (n) => awayText(n.at_ns) },
      { name: "Fault", cell: (n) => el("a", { href: `/faults/${encodeURIComponent(n.fault)}` }, n.fault) },
      { name: "Schedule", cell: (n) => n.schedule },
    ], next, { empty: "Nothing is planned.", visible: false })),
    section("Schedules", table("The schedules of the configuration", [
      { name: "Schedule", head: true, cell: (s) => s.name },
      { name: "State", cell: (s) => (s.enabled ? chip("good", "enabled") : chip("muted", "disabled")) },
      { name: "Faults", cell: (s) => s.faults.join(", ") || "–" },
      { name: "Control runs", number: true, cell: (s) => `${Math.round(s.control_share * 100)} %` },
      { name: "Time zone", cell: (s) => s.timezone },
      { name: "Skipped, by reason", cell: (s) => Object.entries(s.skipped).filter(([, n]) => n).map(([why, n]) => `${why} ${count(n)}`).join(", ") || "none" },
    ], schedules, { visible: false })),
  ];
}
