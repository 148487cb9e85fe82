// All runs, with a filter that is kept in the address.
import { get } from "./api.js";
import { el, fill } from "./dom.js";
import { count, nowMs, plural, VERDICTS, verdictText } from "./format.js";
import { onRuns } from "./live.js";
import { renewer } from "./renew.js";
import { runsTable } from "./runtable.js";

const PAGE = 50;
const SINCE = [["", "any time"], ["24", "the last 24 hours"], ["168", "the last 7 days"], ["720", "the last 30 days"]];

export const title = () => "Runs";

/** The filter in the address: unknown values are no filter. */
function wanted() {
  const given = new URLSearchParams(location.search);
  const pick = (name, known) => (known.includes(given.get(name)) ? given.get(name) : "");
  return {
    fault: given.get("fault") ?? "",
    verdict: pick("verdict", VERDICTS),
    since: pick("since", SINCE.map(([value]) => value)),
    page: Math.min(1e6, Math.max(1, Number.parseInt(given.get("page") ?? "1", 10) || 1)),
  };
}

function address(filter) {
  const kept = Object.entries(filter).filter(([name, value]) => value && !(name === "page" && value === 1));
  return kept.length ? `/runs?${new URLSearchParams(kept)}` : "/runs";
}

function query({ fault, verdict, since, page }) {
  const asked = new URLSearchParams({ brief: "true", limit: PAGE, offset: (page - 1) * PAGE });
  if (fault) asked.set("fault", fault);
  if (verdict) asked.set("verdict", verdict);
  if (since) asked.set("since_ns", String(BigInt(Math.round(nowMs() - Number(since) * 3600e3)) * 1000000n));
  return `/api/v1/runs?${asked}`;
}

export async function show(main, _given, signal) {
  const filter = wanted();
  const list = el("div", { class: "list" });
  const told = el("p", { role: "status", class: "help" });
  const { faults } = await get("/api/v1/faults", signal);
  const load = async () => {
    const found = await get(query(filter), signal);
    if (signal.aborted) return;
    const pages = Math.max(1, Math.ceil(found.total / PAGE));
    told.textContent = `${plural(found.total, "run")}${pages > 1 ? `, page ${count(filter.page)} of ${count(pages)}` : ""}`;
    fill(list, found.runs.length ? runsTable(found.runs, "Runs, newest first") : empty(filter, found.total), pager(filter, pages));
  };
  const again = renewer(load, (error) => fill(list, el("p", { class: "error", role: "alert" }, error.message)), signal);
  const change = (changed) => {
    Object.assign(filter, { page: 1 }, changed);
    history.replaceState(null, "", address(filter));
    again();
  };
  main.append(el("h1", { tabindex: "-1" }, "Runs"), form(filter, faults, change), told, list);
  // A page that somebody reads further back does not move under them.
  const renew = () => filter.page === 1 && !list.contains(document.activeElement) && again();
  onRuns(renew, signal);
  await load();
}

function form(filter, faults, change) {
  const names = [...new Set([...faults.map((f) => f.name), ...(filter.fault ? [filter.fault] : [])])].sort();
  const box = el("form", { class: "filter", role: "search", "aria-label": "Filter of runs", onsubmit: (e) => e.preventDefault() },
    field("fault", "Fault", [["", "all faults"], ...names.map((n) => [n, n])], filter, change),
    field("verdict", "Verdict", [["", "all verdicts"], ...VERDICTS.map((v) => [v, verdictText(v)])], filter, change),
    field("since", "Requested in", SINCE, filter, change),
    el("button", { type: "button", onclick: () => {
      for (const select of box.querySelectorAll("select")) select.value = "";
      change({ fault: "", verdict: "", since: "" });
    } }, "Clear"));
  return box;
}

function field(name, label, options, filter, change) {
  const select = el("select", { id: `filter-${name}`, onchange: () => change({ [name]: select.value }) },
    options.map(([value, text]) => el("option", { value, selected: value === filter[name] }, text)));
  return el("span", {}, el("label", { for: select.id }, label), select);
}

function empty(filter, total) {
  if (total) return el("p", { class: "empty" }, "There is no such page.");
  const filtered = filter.fault || filter.verdict || filter.since;
  return el("p", { class: "empty" }, filtered ? "No run fits this filter." : "No run yet. ", !filtered && el("a", { href: "/faults" }, "Trigger one"));
}

function pager(filter, pages) {
  if (pages < 2) return null;
  const to = (page, text, rel) => page >= 1 && page <= pages && el("a", { href: address({ ...filter, page }), rel }, text);
  return el("nav", { class: "pager", "aria-label": "Pages of runs" },
    to(filter.page - 1, "Newer", "prev"), to(filter.page + 1, "Older", "next"));
}
