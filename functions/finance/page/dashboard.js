// The dashboard: asks the finance API, shows totals and rows. Money stays text: it is rounded for the eye only.
const PHASES = { cold_start: "cold start", waiting: "waiting", streaming: "streaming", validating: "validating",
  rest: "rest" };
const OUTCOMES = ["ok", "invalid_output", "incomplete_stream", "truncated_output", "refused", "filtered",
  "upstream_error", "upstream_timeout", "rate_limited", "client_disconnected", "stopped", "deadline",
  "budget_exceeded", "bad_request", "unauthorized", "killed", "internal_error", "unknown"];
const UNKNOWN = "–";
const find = (selector) => document.querySelector(selector);
const form = find("#filters");
let cursor = null;
let asked = 0; // answers to an older question are dropped

function element(name, attributes = {}, ...children) {
  const made = name === "svg" || name === "rect" || name === "title"
    ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A decimal string rounded half-even to some places, without going through floating point. */
function round(text, places) {
  const negative = text.startsWith("-");
  const [whole, fraction = ""] = text.replace("-", "").split(".");
  const kept = BigInt(whole + fraction.slice(0, places).padEnd(places, "0"));
  const cut = fraction.slice(places);
  const half = "5".padEnd(cut.length, "0");
  const up = cut.length > 0 && (cut > half || (cut === half && kept % 2n === 1n));
  const digits = (kept + (up ? 1n : 0n)).toString().padStart(places + 1, "0");
  return (negative ? "-" : "") + digits.slice(0, -places) + "." + digits.slice(-places);
}

const money = (text) => (text === null ? UNKNOWN : "$" + round(text, Math.abs(Number(text)) < 1 ? 6 : 2));
const count = (value) => (value === null || value === undefined ? UNKNOWN : value.toLocaleString("en"));
const share = (part, whole) => (part !== null && Number(whole) ? (100 * Number(part) / Number(whole)).toFixed(1) + " %" : UNKNOWN);

function phaseBar(phases) {
  const amounts = Object.keys(PHASES).map((name) => [name, Number(phases[name] ?? 0)]);
  const whole = amounts.reduce((sum, [, amount]) => sum + amount, 0);
  if (!whole) return document.createTextNode(UNKNOWN);
  const label = amounts.filter(([, amount]) => amount)
    .map(([name]) => `${PHASES[name]} ${share(phases[name], whole)}`).join(", ");
  const bar = element("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": label },
    element("title", {}, label));
  let x = 0;
  for (const [name, amount] of amounts) {
    const width = 100 * amount / whole;
    bar.append(element("rect", { class: name, x, y: 0, width, height: 10 }));
    x += width;
  }
  return bar;
}

function cell(label, content, attributes = {}) {
  return element("td", { "data-label": label, ...attributes }, content);
}

function tableRow(row) {
  const cost = cell("Cost", money(row.cost.total), { class: "number", title: `$${row.cost.total}` });
  if (row.cost.unpriced.length) {
    cost.append(element("span", { class: "note", title: row.cost.unpriced.join(", ") }, "at least"));
  }
  const outcome = cell("Outcome", row.outcome ?? "unknown", { class: row.outcome === "ok" ? "" : "failed" });
  if (row.join_status !== "complete") {
    outcome.append(element("span", { class: "note" }, row.join_status.replace("_", " ")));
  }
  const link = element("a", { href: `api/requests/${encodeURIComponent(row.request_id)}?${rangeOf(row)}` },
    row.request_id.slice(0, 8));
  link.title = row.request_id;
  return element("tr", {},
    cell("Time", element("time", { datetime: row.at }, row.at.slice(0, 19).replace("T", " "))),
    cell("Request", link),
    outcome,
    cell("Model", row.model_returned ?? row.model ?? UNKNOWN),
    cell("Tokens in, out", `${count(row.usage.input_tokens)}, ${count(row.usage.output_tokens)}`, { class: "number" }),
    cell("First token, ms", row.ttft_ms === null ? UNKNOWN : count(Math.round(row.ttft_ms)), { class: "number" }),
    cell("Billed, ms", count(row.billed_ms), { class: "number" }),
    cell("Duration by phase", phaseBar(row.cost.phases)),
    cost);
}

function rangeOf(row) {
  const day = Date.parse(row.day);
  return new URLSearchParams({ from: row.day, to: new Date(day + 86_400_000).toISOString().slice(0, 10) });
}

function showTotals(totals) {
  const { phases, unpriced, completeness } = totals;
  const duration = totals.components.lambda_duration;
  const failed = Object.entries(totals.by_outcome).filter(([name]) => name !== "ok")
    .reduce((sum, [, group]) => sum + Number(group.total), 0);
  const figures = [["Total", money(totals.total), `$${totals.total}`], ["Requests", count(totals.requests)],
    ["Waiting, of duration", share(phases.waiting, duration)],
    ["Cold start, of duration", share(phases.cold_start, duration)],
    ["Not ok, of total", share(failed, totals.total)],
    ["Rows not fully priced", count(unpriced.rows)],
    ["Half-known rows", count(completeness.bill_only + completeness.usage_only + completeness.started_only)]];
  find("#totals dl").replaceChildren(...figures.map(([name, value, title]) =>
    element("div", {}, element("dt", {}, name), element("dd", title ? { title } : {}, value))));
  find("#totals .bar").replaceChildren(phaseBar(phases));
  find("#totals .legend").replaceChildren(...Object.entries(PHASES).map(([name, words]) =>
    element("li", {}, element("span", { class: `key ${name}` }), `${words} ${money(phases[name])}`)));
  const reasons = Object.entries(unpriced.reasons).map(([reason, rows]) => `${reason} (${rows})`).join(", ");
  const missing = completeness.set_aside + completeness.unreadable_objects + completeness.logs_dropped;
  find("#caveat").textContent = [`Price book ${totals.price_book_version}, list prices of the first tier.`,
    unpriced.rows ? `The total is a lower bound: ${reasons}.` : "",
    missing ? `${completeness.set_aside} records set aside, ${completeness.unreadable_objects} objects unreadable, ` +
      `${completeness.logs_dropped} times log lines were dropped by the platform.` : ""].join(" ");
}

function query() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) wanted.append(name, value);
  return wanted;
}

async function ask(path, parameters) {
  const answer = await fetch(`${path}?${parameters}`, { headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const fields = (body.errors ?? []).map((error) => `${error.field}: ${error.message}`).join("; ");
  throw new Error(fields || body.detail || `The ledger answered ${answer.status}`);
}

function show({ status = "", error = "", totals = false, rows = false, empty = false }) {
  find("#status").textContent = status;
  find("#error").hidden = !error;
  find("#error p").textContent = error;
  find("#totals").hidden = !totals;
  find("#rows").hidden = !rows;
  find("#empty").hidden = !empty;
  find("main").setAttribute("aria-busy", String(status === "Loading"));
}

async function load() {
  const question = ++asked;
  show({ status: "Loading" });
  try {
    const [totals, page] = await Promise.all([ask("api/summary", query()), ask("api/requests", query())]);
    if (question !== asked) return;
    find("tbody").replaceChildren(...page.rows.map(tableRow));
    setCursor(page.next_cursor);
    showTotals(totals);
    const any = totals.requests > 0;
    show({ status: any ? `${count(page.rows.length)} of ${count(totals.requests)} requests` : "", totals: any,
      rows: any, empty: !any });
  } catch (error) {
    if (question === asked) show({ error: error.message });
  }
}

async function more() {
  const question = asked;
  find("#more").disabled = true;
  try {
    const parameters = query();
    parameters.set("cursor", cursor);
    const page = await ask("api/requests", parameters);
    if (question !== asked) return;
    find("tbody").append(...page.rows.map(tableRow));
    setCursor(page.next_cursor);
    find("#status").textContent = `${count(find("tbody").children.length)} requests shown`;
  } catch (error) {
    find("#status").textContent = error.message;
  } finally {
    find("#more").disabled = false;
  }
}

function setCursor(next) {
  cursor = next;
  find("#more").hidden = next === null;
}

form.elements.outcome.append(...OUTCOMES.map((name) => element("option", { value: name }, name)));
for (const [name, value] of new URLSearchParams(location.search)) {
  if (form.elements[name]) form.elements[name].value = value;
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  history.replaceState(null, "", `?${query()}`);
  load();
});
find("#error button").addEventListener("click", load);
find("#more").addEventListener("click", more);
load();
