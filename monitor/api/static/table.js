// Tables that stay tables for a screen reader where a phone shows them as cards.
import { el, freshId } from "./dom.js";

/** `columns`: [{name, cell(row), number?, head?}]; a `head` column names its row. */
export function table(caption, columns, rows, { empty = "Nothing.", visible = true } = {}) {
  if (!rows.length) return el("p", { class: "empty" }, empty);
  const title = el("caption", { id: freshId("caption"), class: visible ? null : "unseen" }, caption);
  const head = el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, columns.map((c) =>
    el("th", { scope: "col", role: "columnheader", class: c.number && "n" }, c.name))));
  const body = el("tbody", { role: "rowgroup" }, rows.map((row) => line(columns, row)));
  const made = el("table", { role: "table", class: "cards" }, title, head, body);
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-labelledby": title.id }, made);
}

/** What has no value is not shown as a card's line. */
function isNone(content) {
  return content === "–" || content === null || content === "";
}

function line(columns, row) {
  return el("tr", { role: "row" }, columns.map((column) => {
    const tag = column.head ? "th" : "td";
    const content = column.cell(row);
    return el(tag, {
      scope: column.head ? "row" : null, role: column.head ? "rowheader" : "cell",
      class: [column.number && "n", isNone(content) && "none"].filter(Boolean).join(" ") || null, "data-label": column.name,
    }, el("span", {}, content));
  }));
}
