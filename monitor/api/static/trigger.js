// Triggering one fault: form, dry run, confirmation that names the instances, then the run's page.
import { ApiError, get, post } from "./api.js";
import { cancelButton, dialogForm, isBusy, openDialog, setBusy } from "./dialog.js";
import { el, pairs, section } from "./dom.js";
import { objectiveText, usable } from "./faults.js";
import { BadField, schemaForm } from "./form.js";
import { seconds, span } from "./format.js";
import { live } from "./live.js";
import { instancesTable } from "./runparts.js";

export const title = (name) => `Fault ${name}`;

export async function show(main, name, signal) {
  const [{ faults }, { kinds }] = await Promise.all([get("/api/v1/faults", signal), get("/api/v1/faults/kinds", signal)]);
  const fault = faults.find((f) => f.name === name);
  if (!fault) throw new ApiError(404, `No fault is called ${name}`);
  const schema = kinds[fault.kind] ?? { properties: {} };
  main.append(
    el("h1", { tabindex: "-1" }, fault.name), el("p", { class: "lead" }, fault.description), facts(fault, schema),
    usable(fault) ? section("Trigger", triggerForm(fault, schema)) : el("p", { class: "banner", "data-kind": "warn" }, `Cannot be triggered here: ${fault.why_not}`),
    el("p", {}, el("a", { href: `/runs?${new URLSearchParams({ fault: fault.name })}` }, `Runs of ${fault.name}`)),
  );
}

function facts(fault, schema) {
  return el("div", { class: "card" }, pairs([
    ["Kind", `${fault.kind}. ${schema.description?.split("\n\n")[0] ?? ""}`],
    ["Layer", fault.layer],
    ["Who notices", fault.fools],
    ["Heals", fault.heals],
    ["Longest", fault.longest_seconds ? span(fault.longest_seconds) : null],
    ["Needs", fault.privilege],
    ["Objectives", objectiveText(fault.objectives)],
  ]));
}

function triggerForm(fault, schema) {
  const fields = schemaForm(schema, fault.fault ?? fault.spec ?? {});
  const wrong = el("p", { class: "error", role: "alert", tabindex: "-1" });
  const button = el("button", { type: "submit", class: "primary" }, "Dry run");
  const complain = (text, path) => {
    wrong.textContent = text;
    if (path && fields.mark(path, text)) form.querySelector("[aria-invalid]")?.focus();
    else wrong.focus();
  };
  const form = el("form", { novalidate: true }, fields.node, wrong,
    el("p", { class: "buttons" }, button, el("span", { class: "help" }, "Touches nothing: shows which instances it would break, and asks.")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isBusy(button)) return;
    setBusy(button, true);
    wrong.textContent = "";
    fields.mark("", "");
    try {
      await dryRun(fault, fields.changes());
    } catch (error) {
      complain(error.message, error instanceof BadField ? error.path : error.message.split(":")[0]);
    } finally {
      setBusy(button, false);
    }
  });
  return form;
}

async function dryRun(fault, changes) {
  // The same seed makes the run choose what the dry run chose.
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;
  const wish = { fault: fault.name, changes, seed, requested_by: "page" };
  const dry = await post("/api/v1/runs", { ...wish, dry_run: true });
  if (dry.would_be_refused) refused(fault, dry);
  else confirmRun(fault, dry, wish);
}

function refused(fault, dry) {
  openDialog(`${fault.name} would be refused now`, el("p", { class: "banner", "data-kind": "warn" }, dry.would_be_refused), what(dry),
    el("div", { class: "buttons" }, cancelButton("Close")));
}

function confirmRun(fault, dry, wish) {
  const count = dry.instances.length;
  const names = dry.instances.map((i) => i.name).join(", ");
  const lasts = dry.spec.duration_seconds;
  const happens = count
    ? `${fault.kind} acts on ${names}${lasts ? ` for ${seconds(lasts)}` : ""}. It heals ${fault.heals}.`
    : "Nothing is injected; everything is measured.";
  const { deployment } = live.status ?? {};
  const act = async () => {
    const run = await post("/api/v1/runs", wish);
    document.dispatchEvent(new CustomEvent("go", { detail: `/runs/${encodeURIComponent(run.id)}` }));
  };
  openDialog(`Trigger ${fault.name}?`, dialogForm(
    [
      el("p", {}, happens, deployment && ` The deployment is ${deployment}; its users may be hurt.`),
      what(dry), changedText(wish.changes),
    ],
    [el("button", { type: "submit", class: "danger" }, count === 1 ? `Trigger on ${names}` : count ? `Trigger on ${count} instances` : "Trigger"), cancelButton()],
    act,
  ));
}

function what(dry) {
  return dry.instances.length ? instancesTable(dry.instances) : el("p", { class: "empty" }, "No instance is touched.");
}

function changedText(changes) {
  const names = Object.entries(changes);
  if (!names.length) return el("p", { class: "help" }, "All parameters as in the catalogue.");
  return el("p", { class: "help" }, `Changed: ${names.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ")}`);
}
