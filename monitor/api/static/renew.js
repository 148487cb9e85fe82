// Loading again when something happened: one load at a time, and one for a burst of events.

const GATHER_MS = 250;

/** A function that asks for `load` to run soon; `failed(error)` gets what it raises while `signal` lasts. */
export function renewer(load, failed, signal) {
  let busy = false;
  let again = false;
  return async () => {
    again = true;
    if (busy) return;
    busy = true;
    while (again && !signal.aborted) {
      await new Promise((done) => { setTimeout(done, GATHER_MS); });
      again = false;
      try {
        if (!signal.aborted) await load();
      } catch (error) {
        if (!signal.aborted) failed(error);
      }
    }
    busy = false;
  };
}
