// The HTTP API. The token lives in sessionStorage: no cookie exists, so no other site can act with it.

const KEY = "aftershock.token";
const WAIT_MS = 30000;

/** What the API refused, in one line; status 0: it could not be reached. */
export class ApiError extends Error {
  constructor(status, detail, body = {}) {
    super(detail);
    this.status = status;
    this.body = body;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  clear: () => sessionStorage.removeItem(KEY),
};

let whenAsked = () => {};
/** What to do when the API wants a token. */
export function onUnauthorized(handler) {
  whenAsked = handler;
}

function headers(given = token.get()) {
  return given ? { Authorization: `Bearer ${given}` } : {};
}

async function problem(response) {
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text);
    if (typeof body.detail === "string") return new ApiError(response.status, body.detail, body);
  } catch { /* not JSON: a proxy in between */ }
  return new ApiError(response.status, `the monitor answered ${response.status} ${response.statusText}`.trim());
}

/** A response that is fine; raises ApiError otherwise. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options, headers: { ...headers(), ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const late = error.name === "TimeoutError";
    throw new ApiError(0, late ? `the monitor did not answer in ${WAIT_MS / 1000} s` : "the monitor cannot be reached");
  }
  if (response.ok) return response;
  const wrong = await problem(response);
  if (wrong.status === 401) whenAsked();
  throw wrong;
}

async function json(path, options = {}) {
  const response = await request(path, options);
  try {
    return await response.json();
  } catch {
    throw new ApiError(response.status, "the monitor's answer is not JSON");
  }
}

/** `signal` ends the wait when nobody wants the answer any more. */
export function get(path, signal) {
  const late = AbortSignal.timeout(WAIT_MS);
  return json(path, { signal: signal ? AbortSignal.any([signal, late]) : late });
}

/** The path of a run, whatever its id holds. */
export function runPath(id) {
  return `/api/v1/runs/${encodeURIComponent(id)}`;
}

/** Actions may revert a fault before they answer, so they have no limit of their own. */
export function post(path, body) {
  const options = { method: "POST" };
  if (body === undefined) return json(path, options);
  return json(path, { ...options, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

/** Whether the API takes this token. Raises ApiError for anything but yes and no. */
export async function accepts(candidate) {
  const response = await fetch("/api/v1/status", { cache: "no-store", headers: headers(candidate) })
    .catch(() => { throw new ApiError(0, "the monitor cannot be reached"); });
  if (response.status === 401) return false;
  if (!response.ok) throw await problem(response);
  return true;
}
