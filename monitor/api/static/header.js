// What stands above every page: whole or not, how old that is, and the emergency stop.
import { post, token } from "./api.js";
import { cancelButton, dialogForm, openDialog } from "./dialog.js";
import { el, fillIfNew, say } from "./dom.js";
import { clockText, span, time } from "./format.js";
import { live, STALE_MS } from "./live.js";

const byId = (id) => document.getElementById(id);

const LABELS = { whole: "Whole", hurt: "Hurt", unknown: "Unknown" };

/** The state as it may be claimed now: what is old, or was never heard, is unknown. */
export function stateNow() {
  const { status } = live;
  if (live.heardAt === null) {
    return live.trouble
      ? { state: "unknown", label: "No connection", reason: live.trouble, since_ns: null }
      : { state: "loading", label: "Connecting…", reason: "", since_ns: null };
  }
  if (live.stale || !status) {
    const reason = `nothing was heard from the monitor since ${clockText(live.heardAt * 1e6)}`;
    return { state: "unknown", label: "Unknown", reason, since_ns: live.heardAt * 1e6 };
  }
  const { state, reason, since_ns } = status.whole ?? { state: "unknown", reason: "the monitor does not say", since_ns: null };
  return { state, label: LABELS[state] ?? "Unknown", reason, since_ns };
}

function show() {
  const { status } = live;
  const now = stateNow();
  const pill = byId("state");
  pill.dataset.state = now.state;
  say(pill, `${now.label}${status?.stopped ? ", stopped" : ""}`);
  const list = banners(status);
  // No live region: the age in it changes every second. The state above speaks of the change.
  fillIfNew(byId("banners"), list, () => list.map(([kind, text]) => el("p", { class: "banner", "data-kind": kind }, text)));
  byId("forget").hidden = token.get() === "";
  if (!status) return;
  say(byId("deployment"), status.deployment);
  say(byId("version"), `version ${status.version}`);
  byId("stop").hidden = Boolean(status.stopped);
  byId("resume").hidden = !status.stopped;
}

function banners(status) {
  const found = [];
  if (live.stale || (live.trouble && live.heardAt !== null)) {
    const age = span((Date.now() - live.heardAt) / 1000);
    const why = live.trouble ? ` (${live.trouble}; trying again)` : "";
    if (live.stale) found.push(["bad", `No news for ${age}${why}. What is shown is from ${clockText(live.heardAt * 1e6)} and may be wrong by now.`]);
    else found.push(["warn", `The live connection was lost${why}.`]);
  } else if (live.trouble) found.push(["bad", `No live data: ${live.trouble}. Trying again.`]);
  if (status?.stopped) {
    found.push(["bad", `Stopped by ${status.stopped.by} at ${clockText(status.stopped.since_ns)}: ${status.stopped.reason}. No run begins until somebody resumes.`]);
  }
  if (status && !status.store.ok) found.push(["bad", `Results cannot be stored: ${status.store.reason}`]);
  for (const [name, source] of Object.entries(status?.sources ?? {})) {
    if (!source.up) found.push(["warn", `${name} cannot be asked: ${source.reason}`]);
  }
  return found;
}

function askStop() {
  const reason = el("input", { id: "stop-reason", required: true, maxlength: "300", autofocus: true, autocomplete: "off" });
  const { active } = live.status ?? {};
  openDialog("Emergency stop", dialogForm(
    [
      el("p", {}, active
        ? `Ends ${active.fault_name} (${active.id}) now, puts back everything that is broken, and lets no run begin until somebody resumes.`
        : "Puts back everything that is broken and lets no run begin until somebody resumes, also after a restart. Probes go on."),
      el("label", { for: "stop-reason" }, "Reason, for those who find it stopped"),
      reason,
    ],
    [el("button", { type: "submit", class: "danger" }, "Stop everything"), cancelButton()],
    async () => {
      const text = reason.value.trim();
      if (!text) throw new Error("Give a reason first.");
      const done = await post("/api/v1/stop", { reason: text, by: "page" });
      if (done.failed.length) throw new Error(`Stopped, but not all is put back: ${done.failed.map((f) => Object.values(f).join(" ")).join("; ")}`);
    },
  ));
}

function askResume() {
  const stopped = live.status?.stopped;
  openDialog("Resume", dialogForm(
    [
      stopped && el("p", {}, "Stopped by ", stopped.by, " at ", time(stopped.since_ns), ": ", stopped.reason),
      el("p", {}, "Schedules and people may begin runs again."),
    ],
    [el("button", { type: "submit", class: "primary", autofocus: true }, "Resume"), cancelButton()],
    () => post("/api/v1/resume", { by: "page" }),
  ));
}

export function startHeader() {
  byId("stop").addEventListener("click", askStop);
  byId("resume").addEventListener("click", askResume);
  byId("stop").hidden = false;
  live.addEventListener("status", show);
  live.addEventListener("link", show);
  setInterval(show, Math.min(1000, STALE_MS));
  show();
}
