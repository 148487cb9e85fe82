// What the monitor says as it happens, and how old that is.
import { request } from "./api.js";
import { setServerClock } from "./format.js";
import { events } from "./sse.js";

export const STALE_MS = 10000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10000;
const HIDDEN_MS = 60000;

/** Events: `status`, `second`, `run` with the data as `detail`; `link` when the connection's state changes; `missed`
 * after a pause between two connections: what happened in it must be fetched. */
export class Live extends EventTarget {
  status = null;
  /** Milliseconds of this browser's clock at the last event; null before the first. */
  heardAt = null;
  trouble = "";
  #connections = 0;
  #stop = null;
  #wait = FIRST_WAIT_MS;

  start() {
    this.close();
    this.#stop = new AbortController();
    this.#follow(this.#stop.signal);
  }

  close() {
    this.#stop?.abort();
    this.#stop = null;
  }

  /** A tab that nobody looks at gives its connection back: a browser has six for a host, the monitor 32 for all. */
  restWhileHidden() {
    let timer = null;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(() => this.close(), HIDDEN_MS);
      else if (!this.#stop) this.start();
    });
  }

  get stale() {
    return this.heardAt !== null && Date.now() - this.heardAt > STALE_MS;
  }

  async #follow(signal) {
    while (!signal.aborted) {
      try {
        await this.#read(signal);
        if (!signal.aborted) this.#tell("the monitor ended the connection");
      } catch (error) {
        if (signal.aborted) return;
        this.#tell(error.message);
        if (error.status === 401) return; // started again with a token
      }
      await pause(this.#wait, signal);
      this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 2);
    }
  }

  async #read(signal) {
    const silence = new AbortController();
    let timer = null;
    const listen = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), 3 * STALE_MS);
    };
    listen();
    try {
      const response = await request("/api/v1/live", { signal: AbortSignal.any([signal, silence.signal]) });
      this.#connections += 1;
      if (this.#connections > 1) this.dispatchEvent(new CustomEvent("missed"));
      for await (const event of events(response)) {
        listen();
        if (signal.aborted) return;
        if (event.event === "lagged") return;
        this.#take(event);
      }
    } catch (error) {
      if (silence.signal.aborted) throw new Error("the monitor fell silent");
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #take({ event, data }) {
    if (!["status", "second", "run"].includes(event)) return;
    const detail = JSON.parse(data);
    if (event === "status") {
      this.status = detail;
      if (detail.now_ns) setServerClock(detail.now_ns);
    }
    this.heardAt = Date.now();
    this.#wait = FIRST_WAIT_MS;
    this.#tell("");
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }

  #tell(trouble) {
    if (trouble === this.trouble) return;
    this.trouble = trouble;
    this.dispatchEvent(new CustomEvent("link"));
  }
}

function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });
}

export const live = new Live();

/** Call `handler` when a run changes, and when changes may have been missed. */
export function onRuns(handler, signal) {
  live.addEventListener("run", handler, { signal });
  live.addEventListener("missed", handler, { signal });
}
