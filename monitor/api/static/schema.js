// What a JSON schema says of one parameter, for a form. Pure data: no elements here.

/** The schema with its references resolved; siblings of a reference win. */
export function resolved(schema, root) {
  if (!schema.$ref) return schema;
  const { $ref, ...siblings } = schema;
  const found = $ref.replace(/^#\//, "").split("/").reduce((at, part) => at?.[part], root);
  return { ...resolved(found ?? {}, root), ...siblings };
}

/** `{kind, nullable, schema}`; kind is number, integer, boolean, choice, strings, text, object, or json for all else. */
export function classify(given, root) {
  let schema = resolved(given, root);
  let nullable = false;
  const forms = schema.anyOf ?? schema.oneOf;
  if (forms) {
    const real = forms.filter((f) => f.type !== "null");
    nullable = real.length < forms.length;
    if (real.length !== 1) return { kind: "json", nullable, schema };
    const { anyOf: _a, oneOf: _o, ...siblings } = schema;
    schema = { ...resolved(real[0], root), ...siblings };
  }
  return { kind: kindOf(schema, root), nullable, schema };
}

function kindOf(schema, root) {
  if (schema.enum) return "choice";
  if (["number", "integer", "boolean"].includes(schema.type)) return schema.type;
  if (schema.type === "string") return "text";
  if (schema.type === "array") {
    const items = resolved(schema.items ?? {}, root);
    return items.type === "string" && !schema.prefixItems ? "strings" : "json";
  }
  if (schema.type === "object" && schema.properties && !schema.additionalProperties) return "object";
  return "json";
}

/** The parameters of an object: [name, schema], without what is fixed. */
export function parameters(schema, root) {
  return Object.entries(schema.properties ?? {}).filter(([, one]) => resolved(one, root).const === undefined);
}

/** The limits of a number, in words. */
export function limitsText(schema) {
  const words = [];
  if (schema.exclusiveMinimum !== undefined) words.push(`above ${schema.exclusiveMinimum}`);
  if (schema.minimum !== undefined) words.push(`from ${schema.minimum}`);
  if (schema.exclusiveMaximum !== undefined) words.push(`below ${schema.exclusiveMaximum}`);
  if (schema.maximum !== undefined) words.push(`up to ${schema.maximum}`);
  return words.join(", ");
}

/** Why a number does not fit, or "". */
export function misfit(value, schema) {
  if (!Number.isFinite(value)) return "is not a number";
  if (schema.type === "integer" && !Number.isInteger(value)) return "must be a whole number";
  const bad = value <= (schema.exclusiveMinimum ?? -Infinity) || value < (schema.minimum ?? -Infinity)
    || value >= (schema.exclusiveMaximum ?? Infinity) || value > (schema.maximum ?? Infinity);
  return bad ? `must be ${limitsText(schema)}` : "";
}

export function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
