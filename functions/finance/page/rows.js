// A page of requests at a time: what was shown before is let go, so a million rows weigh as much as a page.
import { ask } from "./api.js";
import { find, make, table } from "./dom.js";
import { amount } from "./amount.js";
import { clock, count, exact, milliseconds, money, placesOf, plural, quantity, unit, words } from "./format.js";
import { addDays, filterParameters } from "./state.js";

const LIMIT = 25;
let next = null;

// What a list can be sorted by, beside the newest and the dearest, and where a row has it.
const SORTS = {
  "cost of": [
    ["cold_start", "waiting", "streaming", "validating", "rest"],
    (row, name) => row.cost.phases[name],
  ],
  "charge for": [
    [
      "lambda_duration",
      "lambda_request",
      "lambda_streamed_bytes",
      "lambda_ephemeral_storage",
      "lambda_restore",
      "api_gateway",
      "logs",
      "input_tokens",
      "cached_input_tokens",
      "cache_write_tokens",
      "audio_input_tokens",
      "output_tokens",
      "audio_output_tokens",
    ],
    (row, name) => row.cost.components[name],
  ],
  "longest or most": [["first_token", "duration", "saved"], (row, name) => (name === "saved" ? row.saved_total : null)],
};
export const AGAIN = { cache: "from the cache", idempotency_key: "repeated by key" };

const COLUMNS = [
  { name: "Time" },
  { name: "Request" },
  { name: "Outcome" },
  { name: "Model" },
  { name: "Tokens in", number: true },
  { name: "out", number: true },
  { name: "First token", number: true },
  { name: "Billed", number: true },
  { name: "Cost", number: true },
];

function address(row, state) {
  const query = new URLSearchParams({ from: row.day, to: addDays(row.day, 1), tz: state.tz });
  return `requests/${encodeURIComponent(row.request_id)}?${query}`;
}

/** The column that a list is sorted by, where it has none of it: its name, and what stands in a row. */
function sortedBy(sort) {
  const [, of] = Object.values(SORTS).find(([names]) => names.includes(sort)) ?? [];
  if (!of || ["first_token", "duration"].includes(sort)) return [];
  return [{ name: words(sort), of: (row) => amount(of(row, sort), { places: placesOf([of(row, sort)]) }) }];
}

/** The columns of requests' shares of a line: what is booked of it, or without that what its quantity comes to. */
function sharesOf(shares) {
  const places = placesOf([...shares.values()].map(({ amount: product, booked }) => booked ?? product));
  const shown = ({ amount: product, booked }) =>
    make("span", { title: product && `unrounded ${exact(product)}` }, money(booked ?? product, places));
  return [
    { name: "Quantity", of: (row) => quantity(shares.get(row).quantity) },
    { name: "Of this line", of: (row) => shown(shares.get(row)) },
  ];
}

function cells(row, state, times, places, extra) {
  const again = row.answered_from && (AGAIN[row.answered_from] ?? row.answered_from);
  const good = row.outcome === "ok";
  const half = row.join_status === "complete" ? null : row.join_status.replace("_", " ");
  return [
    make("time", { datetime: row.at }, times.second(row.at)),
    make("a", { href: address(row, state), title: row.request_id, class: "id" }, row.request_id.slice(0, 8)),
    make(
      "span",
      { class: good ? null : "not-ok" },
      row.outcome ? words(row.outcome) : "Unknown",
      half && make("span", { class: "note" }, half),
      again && make("span", { class: "note" }, `${again}, saved ${money(row.saved_total)}`),
    ),
    row.model_returned ?? row.model ?? "unknown",
    count(row.usage.input_tokens),
    count(row.usage.output_tokens),
    milliseconds(row.ttft_ms),
    milliseconds(row.billed_ms),
    ...extra.map(({ of }) => of(row)),
    make(
      "span",
      { title: row.cost.unpriced.join("\n") || null },
      amount(row.cost.total, { places, lower: row.cost.unpriced.length > 0 }),
    ),
  ];
}

function buttons(state, on) {
  find("#first").disabled = !on || !state.cursor;
  find("#previous").disabled = !on || !state.before.length;
  find("#next").disabled = !on || !next;
}

function skeleton() {
  return make(
    "div",
    { class: "skeleton", "aria-hidden": "true" },
    ...Array.from({ length: 8 }, () => make("span")),
  );
}

/** What the list is of, where it is of one line of charges: what it is of, and the way back to all requests. */
function lineHeading({ line, range }, state, toLine) {
  const of = [line.model, line.tier, line.region, line.architecture].filter(Boolean).join(", ");
  const entry = line.entry === "request" ? "" : ", corrections";
  const product =
    line.amount === null
      ? ""
      : `: ${line.quantity} ${unit(line)} × $${line.unit_price} = ${exact(line.amount)}`;
  const csv = filterParameters(state, "line");
  csv.set("format", "csv");
  return make(
    "p",
    { class: "of-line" },
    make("strong", {}, [words(line.component) + entry, of].filter(Boolean).join(", ")),
    `${product}. Booked: ${exact(line.booked) ?? "nothing"}, by ${plural(line.requests, "request")}. `,
    make("a", { href: `api/charges/requests?${csv}` }, "As CSV"),
    ", or ",
    toLine("", "all requests"),
    ".",
  );
}

/** A page of all requests, or of those of a line with their shares. */
async function askRows(state, options) {
  const query = filterParameters(state, "cursor", state.line ? "line" : "sort");
  query.set("limit", LIMIT);
  if (!state.line) return ask("api/requests", query, options);
  const page = await ask("api/charges/requests", query, options);
  const shares = new Map(page.rows.map(({ row, ...share }) => [row, share]));
  return { ...page, shares, rows: [...shares.keys()] };
}

/** Show the page of rows that `state` asks for, asked for when `turn` has come. */
export async function loadRows(state, signal, { toLine, turn = null }) {
  const box = find("#rows");
  const status = find("#rows-status");
  find("#sort").value = state.sort;
  find("#sorted").hidden = Boolean(state.line); // a line's requests are sorted by their shares
  find("#requests").setAttribute("aria-busy", "true");
  find("#rows-failure").hidden = true;
  if (!box.hasChildNodes()) box.append(skeleton());
  box.classList.add("stale");
  status.textContent = "Loading";
  buttons(state, false);
  await turn;
  if (signal.aborted) return;
  try {
    const page = await askRows(state, {
      signal,
      onRunning: (seconds) => {
        status.textContent = `Athena is reading the rows, ${count(Math.round(seconds))} s so far`;
      },
    });
    next = page.next_cursor;
    const places = placesOf(page.rows.map((row) => row.cost.total));
    const times = clock(state.tz);
    const extra = page.shares ? sharesOf(page.shares) : sortedBy(state.sort);
    box.replaceChildren(
      ...(page.shares ? [lineHeading(page, state, toLine)] : []),
      table(
        "Requests",
        [...COLUMNS.slice(0, -1), ...extra.map(({ name }) => ({ name, number: true })), COLUMNS.at(-1)],
        page.rows.map((row) => cells(row, state, times, places, extra)),
      ),
    );
    box.lastChild.classList.add("cards");
    status.textContent = `${plural(page.rows.length, "request")} on this page${next ? ", more follow" : ""}`;
  } catch (error) {
    if (signal.aborted) return;
    box.replaceChildren();
    next = null;
    status.textContent = "";
    const again = make("button", { type: "button" }, "Try again");
    again.addEventListener("click", () => loadRows(state, signal, { toLine }));
    find("#rows-failure").replaceChildren(
      make("p", {}, make("strong", {}, "The requests could not be loaded. "), error.message),
      make("span", {}, again, ...(state.line ? [" ", toLine("", "All requests")] : [])),
    );
    find("#rows-failure").hidden = false;
  } finally {
    if (!signal.aborted) {
      box.classList.remove("stale");
      find("#requests").setAttribute("aria-busy", "false");
      buttons(state, true);
    }
  }
}

/** Listen to sorting and paging; `state()` is what is shown, `change(changes)` is called with its changes. */
export function bindRows(state, change) {
  const top = () => find("#requests").focus();
  find("#sort").append(
    ...Object.entries(SORTS).map(([label, [names]]) =>
      make("optgroup", { label }, ...names.map((name) => make("option", { value: name }, words(name)))),
    ),
  );
  find("#sort").addEventListener("change", ({ target }) => change({ sort: target.value, cursor: "" }));
  find("#first").addEventListener("click", () => {
    change({ cursor: "" });
    top();
  });
  find("#previous").addEventListener("click", () => {
    change({ cursor: state().before.at(-1), before: state().before.slice(0, -1) });
    top();
  });
  find("#next").addEventListener("click", () => {
    change({ cursor: next, before: [...state().before, state().cursor ?? ""] });
    top();
  });
}
