// The API's documentation, written out from its own OpenAPI document.
const main = document.querySelector("#operations");

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A JSON Schema in a few words: `integer, 1 to 500` or `a | b | null`. */
function words(schema, document_) {
  if (!schema) return "";
  if (schema.$ref) return words(schema.$ref.split("/").slice(1).reduce((part, key) => part[key], document_), document_);
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.anyOf) return schema.anyOf.map((part) => words(part, document_)).join(", or ");
  const range = schema.minimum !== undefined ? `, ${schema.minimum} to ${schema.maximum}` : "";
  const items = schema.items ? ` of ${words(schema.items, document_)}` : "";
  const format = schema.format ? ` (${schema.format})` : "";
  return `${schema.type ?? "any"}${format}${items}${range}`;
}

function operation(path, method, entry, document_) {
  const section = element("section", {},
    element("h2", {}, `${method.toUpperCase()} ${path}`),
    element("p", {}, [entry.summary, entry.description].filter(Boolean).join(". ")));
  if (entry.parameters?.length) {
    const body = element("tbody");
    for (const parameter of entry.parameters) {
      body.append(element("tr", {},
        element("td", { "data-label": "Parameter" }, parameter.name),
        element("td", { "data-label": "In" }, parameter.in),
        element("td", { "data-label": "Type" }, words(parameter.schema, document_)),
        element("td", { "data-label": "Meaning" }, parameter.description ?? "")));
    }
    section.append(element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Parameters" },
      element("table", {}, element("thead", {}, element("tr", {}, ...["Parameter", "In", "Type", "Meaning"]
        .map((name) => element("th", { scope: "col" }, name)))), body)));
  }
  for (const [status, answer] of Object.entries(entry.responses ?? {})) {
    section.append(element("p", {}, `${status}: ${answer.description}`));
  }
  return section;
}

try {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`openapi.json: status ${answer.status}`);
  const document_ = await answer.json();
  main.replaceChildren(...Object.entries(document_.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, entry]) => operation(path, method, entry, document_))));
} catch (error) {
  main.textContent = `The documentation cannot be shown: ${error.message}`;
} finally {
  main.setAttribute("aria-busy", "false");
}
