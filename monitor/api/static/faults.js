// The catalogue: what can be broken, and whether it can be broken here.
import { get } from "./api.js";
import { el, section } from "./dom.js";
import { chip, seconds } from "./format.js";
import { table } from "./table.js";

export const title = () => "Faults";

export async function show(main, _given, signal) {
  const { faults } = await get("/api/v1/faults", signal);
  const here = faults.filter(usable);
  const not = faults.filter((f) => !usable(f));
  main.append(
    el("h1", { tabindex: "-1" }, "Faults"),
    el("p", { class: "help" }, "Choose one to see what it would do. Nothing is touched before you have seen the instances and confirmed."),
    section("Can be triggered here", faultsTable("Faults that can be triggered here", here)),
    not.length > 0 && section("Cannot be triggered here", faultsTable("Faults that cannot be triggered here", not)),
  );
}

export function usable(fault) {
  return fault.available ?? fault.usable ?? true;
}

function faultsTable(caption, faults) {
  return table(caption, [
    { name: "Fault", head: true, cell: (f) => el("a", { href: `/faults/${encodeURIComponent(f.name)}` }, f.name) },
    { name: "What it does", cell: (f) => f.description },
    { name: "Layer", cell: (f) => f.layer },
    { name: "Heals", cell: (f) => f.heals },
    { name: "Objectives", cell: (f) => objectiveText(f.objectives) || "–" },
    ...(faults.some((f) => !usable(f)) ? [{ name: "Why not", cell: (f) => chip("warn", f.why_not) }] : []),
  ], faults, { empty: "None.", visible: false });
}

/** The limits that are set, in words. */
export function objectiveText(objectives) {
  return Object.entries(objectives ?? {}).filter(([, limit]) => limit !== null)
    .map(([name, limit]) => (name.endsWith("_seconds") ? `${name.slice(0, -8).replaceAll("_", " ")} ${seconds(limit)}` : `${name.replaceAll("_", " ")} ${limit}`))
    .join(", ");
}
