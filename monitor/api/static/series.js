// Seconds of one probe, in arrays that a chart takes: from the store first, then as they come.

const COLUMNS = ["good", "bad", "gap", "latency_p50_ms", "latency_p95_ms"];

export class Series {
  /** `step` in seconds; `keep`: how many seconds back from the newest are kept. */
  constructor(found, step, keep) {
    this.step = step;
    this.keep = keep;
    this.at = found.at_ns.map((ns) => Math.floor(ns / 1e9));
    for (const name of COLUMNS) this[name] = [...found[name]];
  }

  /** One second; the same second may come again with more in it. */
  take(second) {
    const at = Math.floor(second.at_ns / 1e9);
    let index = this.at.length;
    while (index > 0 && this.at[index - 1] > at) index -= 1;
    const known = index > 0 && this.at[index - 1] === at;
    const place = known ? index - 1 : index;
    this.at.splice(place, known ? 1 : 0, at);
    for (const name of COLUMNS) this[name].splice(place, known ? 1 : 0, second[name]);
    this.#forget();
  }

  #forget() {
    const oldest = this.at.at(-1) - this.keep;
    let old = 0;
    while (this.at[old] < oldest) old += 1;
    if (!old) return;
    this.at.splice(0, old);
    for (const name of COLUMNS) this[name].splice(0, old);
  }

  /** Stretches [from, to) in seconds that nobody measured: gaps, and seconds that are missing. */
  gaps(until = this.at.at(-1) ?? 0) {
    const found = [];
    const add = (from, to) => {
      if (found.length && found.at(-1)[1] >= from) found.at(-1)[1] = Math.max(found.at(-1)[1], to);
      else found.push([from, to]);
    };
    this.at.forEach((at, index) => {
      const before = this.at[index - 1];
      if (index && at - before > 1.5 * this.step) add(before + this.step, at);
      if (this.gap[index]) add(at, at + this.step);
    });
    const last = this.at.at(-1);
    if (last !== undefined && until - last > 1.5 * this.step) add(last + this.step, until);
    return found;
  }

  /** Sums over the newest `span` seconds. */
  recent(span) {
    const since = (this.at.at(-1) ?? 0) - span;
    const sum = { good: 0, bad: 0, gaps: 0, p95: null };
    this.at.forEach((at, index) => {
      if (at <= since) return;
      sum.good += this.good[index];
      sum.bad += this.bad[index];
      sum.gaps += this.gap[index] ? this.step : 0;
      const p95 = this.latency_p95_ms[index];
      if (p95 !== null && (sum.p95 === null || p95 > sum.p95)) sum.p95 = p95;
    });
    return sum;
  }
}
