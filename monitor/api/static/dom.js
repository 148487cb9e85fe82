// Elements from data. Text is only ever set as text: names of pods and error messages are data.

/** An element; `props` are attributes, or listeners as `onclick`; children are nodes, strings, or nothing. */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(made, name, value);
  made.append(...kept(children));
  return made;
}

function set(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "value") node.value = value;
  else node.setAttribute(name, value === true ? "" : String(value));
}

function kept(children) {
  return children.flat(9).filter((c) => c !== null && c !== undefined && c !== false && c !== "");
}

/** Put these in the place of what is there. */
export function fill(node, ...children) {
  node.replaceChildren(...kept(children));
  return node;
}

const shown = new WeakMap();
/** Fill `box` with what `make` gives, but only when `key` (data) is not what it shows already: the focus and a reader's place stay. */
export function fillIfNew(box, key, make) {
  const text = JSON.stringify(key) ?? "";
  if (shown.get(box) === text) return;
  shown.set(box, text);
  fill(box, make());
}

/** Set the text if it differs, so that a live region speaks only of changes. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A `<dl>` of pairs; pairs whose value is null are left out. */
export function pairs(list, props = {}) {
  return el("dl", { class: "pairs", ...props }, list
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value))));
}

/** A titled part of a page. */
export function section(title, ...children) {
  const heading = el("h2", { id: `h-${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}` }, title);
  return el("section", { "aria-labelledby": heading.id }, heading, ...children);
}

let lastId = 0;
/** An id that no other element has. */
export function freshId(stem) {
  lastId += 1;
  return `${stem}-${lastId}`;
}
