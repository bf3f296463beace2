import { h, prose } from "./dom.js";

let schemas = {};
let components = {};

export function use(document) {
  components = document.components ?? {};
  schemas = components.schemas ?? {};
}

// resolve follows a reference and keeps what stands beside it.
export function resolve(node) {
  if (!node) return {};
  const ref = node.$ref ?? node.allOf?.find((part) => part.$ref)?.$ref;
  if (!ref) return node;
  const [kind, name] = ref.replace("#/components/", "").split("/");
  const target = components[kind]?.[name] ?? {};
  return { ...target, ...node, $ref: undefined, allOf: undefined, name: kind === "schemas" ? name : node.name ?? target.name,
    description: node.description ?? target.description, properties: target.properties, type: target.type ?? node.type };
}

export const shortName = (name) => (name ?? "").replace(/^breakwater\.(ops\.)?v\d+\./, "");

// typeOf names a type in words.
export function typeOf(raw) {
  const s = resolve(raw);
  if (s.enum) return "enum";
  if (s.type === "array") return `${typeOf(s.items)}[]`;
  if (s.type === "object" && s.additionalProperties && !s.properties) {
    return s.additionalProperties === true ? "object" : `map of ${typeOf(s.additionalProperties)}`;
  }
  if (s.properties && s.name) return shortName(s.name);
  const type = Array.isArray(s.type) ? s.type.join(" or ") : s.type ?? "any";
  return s.format ? `${s.format}${s.format === "int64" ? " as text" : ""}` : type;
}

function limits(s) {
  const out = [];
  if (s.minLength || s.maxLength) out.push(`${s.minLength ?? 0}–${s.maxLength ?? "∞"} characters`);
  if (s.minimum !== undefined || s.maximum !== undefined) out.push(`${s.minimum ?? "−∞"} to ${s.maximum ?? "∞"}`);
  if (s.minItems || s.maxItems) out.push(`${s.minItems ?? 0}–${s.maxItems ?? "∞"} entries`);
  if (s.maxProperties) out.push(`at most ${s.maxProperties} entries`);
  if (s.pattern) out.push(h("code", s.pattern));
  return out;
}

// inner is the object that a property opens into: itself, or what a list or a map holds.
function inner(raw) {
  const s = resolve(raw);
  if (s.properties) return s;
  if (s.type === "array") return inner(s.items);
  if (typeof s.additionalProperties === "object") return inner(s.additionalProperties);
  return null;
}

function enumOf(raw) {
  const s = resolve(raw);
  if (s.enum) return s.enum.filter((v) => !String(v).endsWith("_UNSPECIFIED"));
  if (s.type === "array") return enumOf(s.items);
  return null;
}

// tree lists an object's properties; nested ones open on demand. `within` ends cycles.
export function tree(raw, within = []) {
  const s = inner(raw) ?? resolve(raw);
  const entries = Object.entries(s.properties ?? {});
  if (!entries.length) return h("p.empty", s.type === "object" ? "An object without fixed properties." : "Nothing.");
  const required = new Set(s.required ?? []);
  const rank = ([, p]) => (resolve(p).readOnly || p.readOnly ? 1 : 0);
  entries.sort((a, b) => rank(a) - rank(b));
  return h("ul.schema", entries.map(([name, raw]) => property(name, raw, required.has(name), [...within, s.name])));
}

function property(name, raw, required, within) {
  const s = resolve(raw);
  const readOnly = raw.readOnly || s.readOnly;
  const head = [
    h("code.prop", name), " ", h("span.type", typeOf(raw)),
    required && h("span.tag.required", "required"), readOnly && h("span.tag", "output only"),
    limits(s).map((l) => h("span.limit", l)),
  ];
  const about = s.description && h("p.about", prose(s.description));
  const values = enumOf(raw);
  const list = values && h("p.values", values.map((v) => [h("code", v), " "]));
  const object = inner(raw);
  if (!object) return h("li", h("div.line", head), about, list);
  if (object.name && within.includes(object.name)) return h("li", h("div.line", head, h("span.limit", "as above")), about);
  const details = h("details", h("summary.line", head), about, list);
  details.addEventListener("toggle", () => {
    if (details.open && !details.dataset.filled) {
      details.dataset.filled = "yes";
      details.append(tree(object, within));
    }
  });
  return h("li", details);
}

// parameters lists parameters of any place.
export function parameters(list) {
  return h("ul.schema", list.map((p) => {
    const s = resolve(p.schema);
    const values = enumOf(p.schema);
    return h("li",
      h("div.line", h("code.prop", p.name), " ", h("span.type", typeOf(p.schema)), h("span.tag", p.in),
        p.required && h("span.tag.required", "required"), limits(s).map((l) => h("span.limit", l))),
      p.description && h("p.about", prose(p.description)),
      values && h("p.values", values.map((v) => [h("code", v), " "])));
  }));
}

// example makes a body of what a client may set.
export function example(raw, within = []) {
  const s = resolve(raw);
  const values = enumOf(raw);
  if (values && s.type !== "array") return values[0] ?? "";
  if (s.type === "array") {
    const item = example(s.items, within);
    return item === undefined ? [] : [item];
  }
  if (s.properties) {
    if (within.includes(s.name) || within.length > 3) return undefined;
    const out = {};
    for (const [name, p] of Object.entries(s.properties)) {
      if (p.readOnly || resolve(p).readOnly || ["etag", "name", "validateOnly", "requestId", "updateMask"].includes(name) && s.name !== "breakwater.v1.DnsRecord") continue;
      const value = example(p, [...within, s.name]);
      if (value !== undefined) out[name] = value;
    }
    return out;
  }
  if (typeof s.additionalProperties === "object") {
    const value = example(s.additionalProperties, within);
    return value === undefined ? {} : { key: value };
  }
  switch (s.type) {
    case "boolean": return true;
    case "integer": case "number": return s.minimum ?? 0;
    case "object": return {};
    case "string":
      if (s.format === "date-time") return "2026-01-02T15:04:05Z";
      if (s.format === "int64" || s.format === "uint64") return "0";
      if (s.format === "duration") return "60s";
      return "";
    default: return undefined;
  }
}
