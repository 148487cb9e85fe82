// Which page is shown, and the moves between them.
import { ApiError, onUnauthorized, token } from "./api.js";
import { askToken } from "./auth.js";
import { el, fill } from "./dom.js";
import { tickAway } from "./format.js";
import { startHeader } from "./header.js";
import { live } from "./live.js";
import * as overview from "./overview.js";
import * as runs from "./runs.js";
import * as run from "./run.js";
import * as faults from "./faults.js";
import * as trigger from "./trigger.js";
import * as schedule from "./schedule.js";

const ROUTES = [
  [/^\/$/, overview],
  [/^\/runs\/?$/, runs],
  [/^\/runs\/([^/]+)$/, run],
  [/^\/faults\/?$/, faults],
  [/^\/faults\/([^/]+)$/, trigger],
  [/^\/schedule\/?$/, schedule],
];

const main = document.getElementById("main");
let leave = null;

async function show(move) {
  leave?.abort();
  leave = new AbortController();
  const { signal } = leave;
  const [page, given] = find(location.pathname);
  markNavigation();
  const body = el("div", { class: "page" });
  fill(main, el("p", { class: "loading" }, "Loading…"));
  try {
    if (!page) throw new ApiError(404, `There is no page ${location.pathname}`);
    document.title = `${page.title(given)} · aftershock`;
    await page.show(body, given, signal);
    if (signal.aborted) return;
    fill(main, body);
  } catch (error) {
    if (signal.aborted) return;
    fill(main, failure(error));
  }
  if (move) arrive();
}

function find(path) {
  for (const [pattern, page] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return [page, match[1] === undefined ? undefined : decoded(match[1])];
  }
  return [null, undefined];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function failure(error) {
  if (!(error instanceof ApiError)) console.error(error);
  const heading = error.status === 404 ? "Not found" : "This page could not be shown";
  return el("div", { class: "page" },
    el("h1", { tabindex: "-1" }, heading),
    el("p", { class: "error", role: "alert" }, error.message),
    el("p", {}, el("button", { type: "button", onclick: () => show(true) }, "Try again"), " ", el("a", { href: "/" }, "Overview")));
}

/** Where a reader begins after a move: at the page's heading. */
function arrive() {
  scrollTo(0, 0);
  main.querySelector("h1")?.focus({ preventScroll: true });
}

function markNavigation() {
  const first = `/${location.pathname.split("/")[1]}`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === first) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

export function go(path) {
  history.pushState(null, "", path);
  show(true);
}

function isOurs(link, event) {
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  return plain && link.origin === location.origin && !link.target && !link.hasAttribute("download")
    && find(link.pathname)[0] !== null && !link.getAttribute("href").startsWith("#");
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || !isOurs(link, event)) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
document.addEventListener("go", (event) => go(event.detail));
addEventListener("popstate", () => show(true));
setInterval(tickAway, 1000);

onUnauthorized(() => askToken(() => {
  live.start();
  show(true);
}));
document.getElementById("forget").addEventListener("click", () => {
  token.clear();
  location.assign("/");
});

startHeader();
live.restWhileHidden();
live.start();
show(false);
