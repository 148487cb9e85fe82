// One run: what was broken, who saw what, and what was put back. Follows the run while it lives.
import { get, post, request, runPath, token } from "./api.js";
import { activePanel, phaseList } from "./active.js";
import { cancelButton, dialogForm, openDialog } from "./dialog.js";
import { el, fill, pairs, section } from "./dom.js";
import { awayText, metChip, seconds, time, verdictChip } from "./format.js";
import { live, onRuns } from "./live.js";
import { renewer } from "./renew.js";
import { comparisonsTable, instancesTable, objectivesTable, witnessesTable } from "./runparts.js";

export const title = (id) => `Run ${id}`;

export async function show(main, id, signal) {
  const body = el("div");
  const active = el("div");
  const spoken = el("p", { class: "unseen", role: "status" });
  const heading = el("h1", { tabindex: "-1" }, id);
  let panel = null;
  let run = null;
  const load = async () => {
    run = await get(runPath(id), signal);
    if (signal.aborted) return;
    panel ??= activePanel(active, run.id);
    heading.textContent = `${run.fault_name}, run ${run.id}`;
    fill(body, parts(run, load));
    spoken.textContent = run.verdict ? `Finished: ${run.verdict.replace("_", " ")}` : `Phase: ${run.phase}`;
    draw();
  };
  const draw = () => {
    panel?.draw();
    const own = body.querySelector(".phases");
    if (own) own.hidden = active.hasChildNodes(); // not twice
  };
  const again = renewer(load, (error) => { spoken.textContent = error.message; }, signal);
  const renew = ({ detail }) => {
    if (run && (!detail || detail.id === run.id)) again();
  };
  main.append(heading, spoken, active, body);
  onRuns(renew, signal);
  live.addEventListener("status", draw, { signal });
  const timer = setInterval(draw, 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
  await load();
}

function parts(run, load) {
  return [
    summary(run),
    run.receipt_open && openReceipt(run, load),
    phases(run),
    run.objective_results.length > 0 && section("Objectives", objectivesTable(run.objective_results)),
    run.witnesses.length > 0 && section("What the witnesses saw", witnessesTable(run.witnesses)),
    run.comparisons.length > 0 && section("Do the witnesses agree?", comparisonsTable(run.comparisons)),
    run.instances.length > 0 && section("Instances", instancesTable(run.instances)),
    section("The fault", pairs(Object.entries(run.fault).map(([name, value]) => [name, shown(value)])), evidence(run)),
    reports(run),
  ];
}

function shown(value) {
  if (value === null) return "–";
  return Array.isArray(value) && value.every((v) => typeof v === "string") ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value);
}

function summary(run) {
  const client = run.witnesses.find((w) => w.witness === "client" && !w.probe);
  const judged = run.objective_results.filter((r) => r.met !== null);
  return el("div", { class: "card" },
    el("p", { class: "big" }, verdictChip(run.verdict), " ", metChip(judged.length ? judged.every((r) => r.met) : null)),
    run.reason && el("p", { class: "why" }, run.reason),
    pairs([
      ["Failed requests", client?.failed_requests ?? null],
      ["Error window", client && client.error_window_seconds !== null ? `${seconds(client.error_window_seconds)}${client.censored ? " or more" : ""}` : null],
      ["Recovery from effect", client && client.recovery_from_effect_seconds !== null ? seconds(client.recovery_from_effect_seconds) : null],
      ["Resolution", client?.resolution?.text || null],
      ["Requested", [time(run.t_requested), " (", awayText(run.t_requested), `) by ${run.requested_by}`]],
      ["Injected", run.t_inject && time(run.t_inject)],
      ["Put back", run.t_reverted && time(run.t_reverted)],
    ]));
}

function phases(run) {
  const at = new Map(run.transitions.map((t) => [t.phase, t.at_ns]));
  const notes = run.transitions.filter((t) => t.note);
  return section("Phases", phaseList(at, run.phase),
    notes.length > 0 && el("ul", {}, notes.map((t) => el("li", {}, time(t.at_ns), ` ${t.phase}: ${t.note}`))));
}

function evidence(run) {
  const lines = [...(run.evidence ? [run.evidence.summary, ...(run.evidence.details ?? [])] : []), ...run.observations, ...run.notes];
  if (!lines.length) return null;
  return [el("h3", {}, "Evidence and observations"), el("ul", {}, lines.map((line) => el("li", {}, line)))];
}

function openReceipt(run, load) {
  const ask = () => openDialog("Put back what this run broke?", dialogForm(
    [el("p", {}, `Reverts ${run.fault_name} on ${run.instances.map((i) => i.name).join(", ") || "its instances"}${run.verdict ? "" : " and ends the run"}.`)],
    [el("button", { type: "submit", class: "danger", autofocus: true }, "Put back"), cancelButton()],
    async () => {
      const { failed } = await post(`${runPath(run.id)}/recover`);
      await load();
      if (failed.length) throw new Error(failed.map((f) => Object.values(f).join(" ")).join("; "));
    },
  ));
  return el("div", { class: "banner", "data-kind": run.verdict ? "bad" : "warn" },
    el("p", {}, run.verdict ? "This run is over and what it broke is not put back." : "The fault may be acting now."),
    el("button", { type: "button", onclick: ask }, "Put it back now"));
}

function reports(run) {
  const path = `${runPath(run.id)}/report?format=html`;
  const wrong = el("p", { class: "error", role: "alert" });
  const save = async () => {
    wrong.textContent = "";
    try {
      const blob = await (await request(path)).blob();
      const link = el("a", { href: URL.createObjectURL(blob), download: `aftershock-${run.id}.html` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    } catch (error) {
      wrong.textContent = error.message;
    }
  };
  // A new tab would not send the token.
  const open = token.get() === "" && el("a", { href: path, target: "_blank", rel: "noopener" }, "Open the report");
  return section("Report", el("p", { class: "buttons" }, open, el("button", { type: "button", onclick: save }, "Save the report")), wrong);
}
