// What if: each scenario's difference, with what has to hold for it beside it; and the memory that functions need.
import { bar, find, make, table } from "./dom.js";
import { count, exact, money, percent, reasons } from "./format.js";

const STATES = { unknown: "unknown", not_offered: "does not fit" };

/** What the reader supposes, by the query's names. */
export function suppositions() {
  return [...new FormData(find("#what-if form"))].filter(([, value]) => value !== "");
}

/** An amount that is more or less than another, with its sign. */
export function change(text) {
  if (text === null) return "unknown";
  const written = money(text);
  return Number(text) > 0 ? `+${written}` : written;
}

function scenario(one, largest) {
  const known = one.difference !== null;
  const unknown = reasons(
    // Of a missing price the API leaves the day out: it is missing on all.
    one.unknown.map(({ reason, requests }) => [
      reason.startsWith("no_price:") ? `${reason}:0000-00-00` : reason,
      requests,
    ]),
  );
  return [
    make(
      "details",
      { class: "assumptions" },
      make("summary", {}, one.title),
      make(
        "ul",
        {},
        ...one.assumptions.map((line) => make("li", {}, line)),
        ...[...unknown].map(([reason, requests]) =>
          make("li", { class: "not-ok" }, `Not known of ${count(requests)} requests: ${reason}.`),
        ),
      ),
    ),
    known ? bar(Math.abs(Number(one.difference)) / largest, Number(one.difference) < 0 ? "less" : "more") : "",
    make("span", { title: exact(one.difference) }, known ? change(one.difference) : STATES[one.status]),
    known ? percent(one.percent, 2) : "",
    make("span", {}, count(one.requests_changed), one.status === "partial" ? make("span", { class: "note" }, `${count(one.requests_unknown)} unknown`) : ""),
  ];
}

function memory(functions) {
  return table(
    "Memory",
    [
      { name: "Function" },
      { name: "now", number: true },
      { name: "peak", number: true },
      { name: "recommended", number: true },
      { name: "validation, p95", number: true },
    ],
    functions.map((one) => [
      one.function,
      `${count(one.memory_mb)} MB`,
      one.peak_mb === null ? "unknown" : `${count(one.peak_mb)} MB`,
      one.recommended_mb === null ? "unknown" : make("strong", {}, `${count(one.recommended_mb)} MB`),
      one.validate_ms_p95 === null ? "unknown" : `${one.validate_ms_p95} ms`,
    ]),
  );
}

/** Every size of a function: does it fit, how much of a processor it has, what it adds to validation. */
function sizes({ function: name, sizes: all }) {
  const known = (value, text) => (value === null ? "unknown" : text(value));
  return make(
    "details",
    {},
    make("summary", {}, `Every size of ${name}`),
    table(
      `Every size of ${name}`,
      [
        { name: "MB", number: true },
        { name: "Fits the peak" },
        { name: "Processors", number: true },
        { name: "Longer pauses, p95", number: true },
      ],
      all.map((one) => [
        count(one.memory_mb),
        known(one.fits, (fits) => (fits ? "yes" : "no")),
        one.cpu_share.toFixed(2),
        known(one.added_pause_ms, (ms) => `${ms > 0 ? "+" : ""}${ms.toFixed(1).replace("-", "−")} ms`),
      ]),
    ),
  );
}

function fill(select, values) {
  if (select.options.length > 1) return;
  select.append(...values.map((value) => make("option", { value }, value)));
}

/** Show the answer of /api/whatif. */
export function whatIf(body, found) {
  if (!found.requests) {
    body.replaceChildren(make("p", { class: "hint" }, "No request in this range: nothing would have cost anything else."));
    return;
  }
  const form = find("#what-if form");
  fill(form.elements.namedItem("from_model"), found.models);
  fill(form.elements.namedItem("to_region"), found.regions);
  const largest = Math.max(...found.scenarios.map(({ difference }) => Math.abs(Number(difference ?? 0))), 1e-15);
  const shown = table(
    "What if",
    [
      { name: "Scenario, with its assumptions" },
      { name: "" },
      { name: "USD", number: true },
      { name: "of the total", number: true },
      { name: "Requests", number: true },
    ],
    found.scenarios.map((one) => scenario(one, largest)),
  );
  shown.classList.add("five", "scenarios");
  body.replaceChildren(
    make(
      "p",
      { class: "hint" },
      `Against ${found.is_lower_bound ? "at least " : ""}${money(found.total)} of ${count(found.requests)} requests. Each stands by itself: they do not add up.`,
    ),
    shown,
    make("h3", {}, "Memory, by the peaks and pauses of your own requests"),
    memory(found.memory),
    ...found.memory.map(sizes),
    make(
      "p",
      { class: "hint" },
      "A size fits where it is a quarter larger than the peak. The recommended one is the smallest that fits and makes validation pause no more than 50 ms longer in 95 % of requests.",
    ),
  );
}
