// A table of runs, for the overview and the runs page.
import { el } from "./dom.js";
import { clockText, count, metChip, seconds, time, verdictChip } from "./format.js";
import { table } from "./table.js";

const FEW_NAMES = 3;

export function instanceText(names) {
  if (!names?.length) return "–";
  const more = names.length - FEW_NAMES;
  return names.slice(0, FEW_NAMES).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** `wide` adds what a full page has room for. */
export function runsTable(runs, caption, wide = true) {
  const columns = [
    { name: "Requested", head: true, cell: (r) => el("a", { href: `/runs/${encodeURIComponent(r.id)}`, "aria-label": `${r.fault_name}, ${clockText(r.t_requested)}` }, time(r.t_requested)) },
    { name: "Fault", cell: (r) => r.fault_name },
    { name: "Instances", cell: (r) => instanceText(r.instances) },
    { name: "Verdict", cell: (r) => [r.verdict ? verdictChip(r.verdict) : verdictChip(null), !r.verdict && ` (${r.phase})`, " ", metChip(r.met)] },
    { name: "Failed requests", number: true, cell: (r) => count(r.failed_requests) },
    { name: "Error window", number: true, cell: (r) => seconds(r.error_window_seconds) },
    { name: "Recovery", number: true, cell: (r) => seconds(r.recovery_seconds) },
  ];
  if (wide) {
    columns.push(
      { name: "By", cell: (r) => r.requested_by },
      { name: "Reason or evidence", cell: (r) => [r.receipt_open && "Not put back yet. ", r.reason || r.evidence || "–"] },
    );
  }
  return table(caption, columns, runs, { empty: "No run here yet.", visible: wide });
}
