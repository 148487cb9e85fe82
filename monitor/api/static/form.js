// A form from a JSON schema. It reads back only what was changed.
import { el, freshId } from "./dom.js";
import { classify, limitsText, misfit, parameters, same } from "./schema.js";

/** A value that cannot be read; `path` says where. */
export class BadField extends Error {
  constructor(path, text) {
    super(`${path}: ${text}`);
    this.path = path;
  }
}

/** `{node, changes(), mark(path, text)}` for the parameters of a schema with the values that hold now. */
export function schemaForm(schema, values, root = schema) {
  const fields = parameters(schema, root).map(([name, one]) => makeField(name, one, values?.[name] ?? null, root, ""));
  return {
    node: el("div", { class: "fields" }, fields.map((f) => f.node)),
    /** Changed values by name. Raises BadField. */
    changes() {
      return Object.fromEntries(fields.map((f) => [f.name, f.read()]).filter(([name, value]) => !same(value, values?.[name] ?? null)));
    },
    /** Mark the field that an error's path begins with; true when there is one. */
    mark(path, text) {
      for (const f of fields) f.mark("");
      const found = fields.find((f) => path === f.name || path.startsWith(`${f.name}.`));
      found?.mark(text);
      return Boolean(found);
    },
  };
}

function makeField(name, given, value, root, above) {
  const { kind, nullable, schema } = classify(given, root);
  const path = above ? `${above}.${name}` : name;
  return kind === "object" ? objectField(name, path, schema, value, nullable, root) : plainField(name, path, kind, schema, value, nullable, given);
}

function plainField(name, path, kind, schema, value, nullable, given) {
  const id = freshId("field");
  const { input, read } = INPUTS[kind](id, schema, value, nullable, path);
  const wrong = el("p", { class: "error", id: `${id}-wrong`, hidden: true });
  const such = schema.examples ? `such as ${schema.examples.join(" or ")}` : "";
  const more = [such, limitsText(schema), `now ${shown(value, nullable)}`].filter(Boolean).join("; ");
  const help = `${given.description ?? schema.description ?? ""} (${more})`.trim();
  input.setAttribute("aria-describedby", `${id}-help ${id}-wrong`);
  const mark = (text) => {
    wrong.textContent = text;
    wrong.hidden = !text;
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  input.addEventListener("input", () => mark(""));
  const node = el("div", { class: `field ${kind}`, "data-name": path },
    el("label", { for: id }, words(name)), input, el("p", { class: "help", id: `${id}-help` }, help), wrong);
  return { name, node, read, mark };
}

/** A nested object; when it may be absent, a box says whether it is there. */
function objectField(name, path, schema, value, nullable, root) {
  const inner = parameters(schema, root).map(([key, one]) => makeField(key, one, value?.[key] ?? defaultOf(one), root, path));
  const id = freshId("field");
  const body = el("div", { class: "fields" }, inner.map((f) => f.node));
  const box = nullable ? el("input", { type: "checkbox", id, checked: value !== null, onchange: () => { body.hidden = !box.checked; } }) : null;
  body.hidden = nullable && value === null;
  const node = el("fieldset", { class: "field object", "data-name": path }, el("legend", {}, words(name)),
    schema.description && el("p", { class: "help" }, schema.description),
    box && el("p", {}, box, el("label", { for: id }, " choose")), body);
  const read = () => (box && !box.checked ? null : Object.fromEntries(inner.map((f) => [f.name, f.read()])));
  return { name, node, read, mark: (text) => inner[0]?.mark(text) };
}

function defaultOf(schema) {
  return schema.default ?? null;
}

function textInput(id, value, props = {}) {
  return el("input", { id, type: "text", autocomplete: "off", spellcheck: "false", value: value ?? "", ...props });
}

function numberInput(id, schema, value, nullable, path) {
  const input = textInput(id, value === null ? "" : String(value), { inputmode: "decimal" });
  const read = () => {
    const text = input.value.trim();
    if (!text && nullable) return null;
    const number = text ? Number(text) : Number.NaN;
    const wrong = misfit(number, schema);
    if (wrong) throw new BadField(path, wrong);
    return number;
  };
  return { input, read };
}

const INPUTS = {
  number: numberInput,
  integer: numberInput,
  boolean(id, _schema, value) {
    const input = el("input", { id, type: "checkbox", checked: Boolean(value) });
    return { input, read: () => input.checked };
  },
  choice(id, schema, value, nullable) {
    const options = [...(nullable ? [null] : []), ...schema.enum];
    const input = el("select", { id }, options.map((one) => el("option", { value: String(one ?? ""), selected: one === value }, String(one ?? "none"))));
    return { input, read: () => options[input.selectedIndex] };
  },
  strings(id, schema, value, nullable, path) {
    const input = textInput(id, (value ?? []).join(", "), { placeholder: "several, with commas" });
    const read = () => {
      const list = input.value.split(",").map((part) => part.trim()).filter(Boolean);
      if (!list.length && nullable) return null;
      if (list.length < (schema.minItems ?? schema.minLength ?? 0)) throw new BadField(path, "must not be empty");
      return list;
    };
    return { input, read };
  },
  text(id, schema, value, nullable, path) {
    const input = textInput(id, value);
    const read = () => {
      if (!input.value && nullable) return null;
      if (input.value.length < (schema.minLength ?? 0)) throw new BadField(path, "must not be empty");
      return input.value;
    };
    return { input, read };
  },
  json(id, _schema, value, _nullable, path) {
    const input = el("textarea", { id, rows: "3", spellcheck: "false", value: JSON.stringify(value, null, 1) });
    const read = () => {
      try {
        return JSON.parse(input.value || "null");
      } catch {
        throw new BadField(path, "is not JSON");
      }
    };
    return { input, read };
  },
};

function words(name) {
  return name.replaceAll("_", " ");
}

function shown(value, nullable) {
  if (value === null) return nullable ? "not set" : "empty";
  return Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value);
}
