// The API's documentation, written out from its own OpenAPI document.
import { find, make, table } from "./dom.js";

const resolve = (schema, whole) =>
  schema?.$ref
    ? schema.$ref
        .split("/")
        .slice(1)
        .reduce((part, key) => part[key], whole)
    : schema;

/** A JSON Schema in a few words: `integer, 1 to 500` or `a | b | null`. */
function words(given, whole) {
  const schema = resolve(given, whole);
  if (!schema) return "";
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.map((part) => words(part, whole)).join(", or ");
  const range = schema.minimum !== undefined ? `, ${schema.minimum} to ${schema.maximum}` : "";
  const items = schema.items ? ` of ${words(schema.items, whole)}` : "";
  const format = schema.format ? ` (${schema.format})` : "";
  return `${schema.title && schema.properties ? schema.title : (schema.type ?? "any")}${format}${items}${range}`;
}

function fields(caption, rows) {
  return table(caption, [{ name: "Name" }, { name: "In" }, { name: "Type" }, { name: "Meaning" }], rows);
}

/** Every member of an answer, `rows[].cost.total` below `rows[].cost` below `rows`. */
function members(given, whole, prefix = "") {
  const schema = resolve(given, whole);
  const inner = schema?.anyOf
    ? schema.anyOf.map((part) => resolve(part, whole)).find((part) => part?.properties)
    : schema;
  if (inner?.items) return members(inner.items, whole, `${prefix}[]`);
  return Object.entries(inner?.properties ?? {}).flatMap(([name, part]) => {
    const path = prefix ? `${prefix}.${name}` : name;
    return [
      [path, words(part, whole), part.description ?? resolve(part, whole)?.description ?? ""],
      ...members(part, whole, path),
    ];
  });
}

/** The members of an operation's answer, behind a disclosure. */
function answer(name, entry, whole) {
  const success = entry.responses?.["200"] ?? entry.responses?.["202"];
  const rows = members(success?.content?.["application/json"]?.schema, whole);
  if (!rows.length) return null;
  return make(
    "details",
    {},
    make("summary", { "aria-label": `Answer of ${name}` }, "Answer"),
    table(`What ${name} answers`, [{ name: "Member" }, { name: "Type" }, { name: "Meaning" }], rows),
  );
}

function operation(path, method, entry, whole) {
  const body = resolve(entry.requestBody?.content?.["application/json"]?.schema, whole);
  const parameters = [
    ...(entry.parameters ?? []).map((one) => [
      one.name,
      one.in,
      words(one.schema, whole),
      one.description ?? "",
    ]),
    ...Object.entries(body?.properties ?? {}).map(([name, schema]) => [
      name,
      "body",
      words(schema, whole),
      schema.description ?? "",
    ]),
  ];
  return make(
    "section",
    { class: "panel" },
    make("h2", {}, `${method.toUpperCase()} ${path}`),
    make("p", {}, [entry.summary, entry.description].filter(Boolean).join(". ")),
    parameters.length ? fields(`What ${method} ${path} takes`, parameters) : null,
    answer(`${method} ${path}`, entry, whole),
    ...Object.entries(entry.responses ?? {}).map(([status, { description }]) =>
      make("p", { class: "hint" }, `${status}: ${description}`),
    ),
  );
}

const main = find("#operations");
try {
  const got = await fetch("openapi.json");
  if (!got.ok) throw new Error(`openapi.json: status ${got.status}`);
  const whole = await got.json();
  main.replaceChildren(
    ...Object.entries(whole.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, entry]) => operation(path, method, entry, whole)),
    ),
  );
} catch (error) {
  main.textContent = `The documentation cannot be shown: ${error.message}`;
} finally {
  main.setAttribute("aria-busy", "false");
}
