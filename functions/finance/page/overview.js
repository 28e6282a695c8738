// The first picture: totals, unit economics, budget, waste, latency, and what to know about them.
import { amount } from "./amount.js";
import { bar, find, make, pairs, table } from "./dom.js";
import { count, exact, milliseconds, money, percent, placesOf, plural, reasons, words } from "./format.js";

const atLeast = (lower) => (lower ? "at least " : "");

const SAVED = { early_stop: "stopped early", idempotency_key: "repeated by key", cache: "answered from the cache" };

/** Show the totals, of a report or of its overview. */
export function headline({ totals, unit_economics: units }, toRequests) {
  const lower = atLeast(totals.is_lower_bound);
  const unit = (text) => amount(text, { lower: units.is_lower_bound });
  const saved = totals.saved;
  const ways = saved.by.filter(({ requests }) => requests);
  find("#headline").replaceChildren(
    ...pairs([
      [
        "Total",
        make("span", {}, lower && make("small", {}, lower), money(totals.total)),
        { title: exact(totals.total), class: "hero", note: plural(totals.requests, "request") },
      ],
      ["Per 1,000 requests", unit(units.per_1000_requests)],
      ["Per validated document", unit(units.per_validated_document)],
      ["Per million output tokens", unit(units.per_million_output_tokens)],
      [
        "Saved, an estimate",
        ways.length ? toRequests({ sort: "saved" }, money(saved.total)) : "nothing",
        {
          title: exact(saved.total),
          note:
            ways.map(({ how, total, requests }) => `${SAVED[how]} ${money(total)} (${count(requests)})`).join(", ") ||
            "no request stopped early or answered again",
        },
      ],
    ]),
  );
}

function notices({ totals, budget, price_book: book, completeness }) {
  const found = [];
  if (budget && (budget.level !== "ok" || budget.forecast_level === "100")) {
    const passed =
      budget.level === "ok" ? "The forecast passes 100 %." : `The warning at ${budget.level} % is on.`;
    found.push([
      budget.level === "100" ? "bad" : "warn",
      `Budget: ${atLeast(budget.is_lower_bound)}${percent(budget.percent)} of ${money(budget.limit)} ` +
        `is spent, ${forecastText(budget)}. ${passed}`,
    ]);
  }
  if (totals.unpriced.rows) {
    const why = [...reasons(Object.entries(totals.unpriced.reasons))].map(
      ([reason, rows]) => `${reason} (${count(rows)})`,
    );
    const shown =
      why.slice(0, 3).join(", ") + (why.length > 3 ? ` and ${plural(why.length - 3, "other reason")}` : "");
    found.push([
      "warn",
      `${plural(totals.unpriced.rows, "request is", "requests are")} not priced in full, so every ` +
        `sum here is at least what is shown: ${shown}.`,
    ]);
  }
  const missing = completeness.hours.reduce((so_far, hour) => so_far + (hour.missing ?? 0), 0);
  if (missing)
    found.push(["bad", `${plural(missing, "billed invocation")} in the log without a row in the ledger.`]);
  if (book.warning) found.push(["warn", `Price book: ${book.warning}`]);
  if (book.versions_in_rows.length > 1)
    found.push([
      "warn",
      `The rows of this range were priced with ${book.versions_in_rows.length} price books: ${book.versions_in_rows.join(", ")}.`,
    ]);
  const apart = [
    ["set_aside", "record set aside", "records set aside"],
    ["unreadable_objects", "unreadable object"],
    ["logs_dropped", "time that the platform dropped log lines", "times that the platform dropped log lines"],
  ]
    .filter(([name]) => completeness[name])
    .map(([name, ...text]) => plural(completeness[name], ...text));
  if (apart.length) found.push(["warn", `Not in these figures: ${apart.join(", ")}.`]);
  find("#notices").hidden = !found.length;
  find("#notices").replaceChildren(
    ...found.map(([kind, text]) =>
      make(
        "li",
        { class: kind },
        make("strong", { class: "kind" }, kind === "bad" ? "Alarm" : "Note"),
        make("span", {}, text),
      ),
    ),
  );
}

/** What is forecast, or why nothing is. */
function forecastText(budget) {
  if (budget.forecast === null) return `no forecast yet: ${budget.method}`;
  const lower = atLeast(budget.forecast_is_lower_bound);
  return `${lower}${money(budget.forecast)} (${percent(budget.forecast_percent)}) is forecast for the month`;
}

function budgetPanel(budget) {
  const body = find("#budget-body");
  if (!budget) {
    body.replaceChildren(
      make("p", { class: "hint" }, "None is set. WEIR_MONTHLY_BUDGET_USD sets a monthly one."),
    );
    return;
  }
  // A forecast far beyond fills the bar; the marks stay where they can be seen.
  const whole = Math.min(
    150,
    Math.max(100, Number(budget.percent ?? 0), Number(budget.forecast_percent ?? 0)),
  );
  const track = make("div", {
    class: `budget level-${budget.level}`,
    role: "img",
    "aria-label": `${atLeast(budget.is_lower_bound)}${percent(budget.percent)} of ${money(budget.limit)} spent, ${forecastText(budget)}`,
  });
  const part = (kind, value) => {
    const piece = make("span", { class: kind });
    piece.style.setProperty("inline-size", `${Math.min(100, (100 * Number(value ?? 0)) / whole)}%`);
    return piece;
  };
  track.append(part("forecast", budget.forecast_percent), part("spent", budget.percent));
  for (const mark of [70, 90, 100]) {
    const tick = make("span", { class: "tick" });
    tick.style.setProperty("inset-inline-start", `${(100 * mark) / whole}%`);
    track.append(tick);
  }
  const month = new Date(`${budget.month}-01T00:00:00Z`).toLocaleDateString("en-GB", {
    month: "long",
    year: "numeric",
    timeZone: "UTC",
  });
  body.replaceChildren(
    make(
      "p",
      { class: "figure" },
      make("strong", {}, amount(budget.spent, { lower: budget.is_lower_bound })),
      ` of ${money(budget.limit)}, ${month}`,
    ),
    track,
    make(
      "p",
      {},
      `${atLeast(budget.is_lower_bound)}${percent(budget.percent)} is spent; ${forecastText(budget)}.`,
    ),
    make(
      "p",
      { class: "hint" },
      "All requests of the month, whatever the filters. " +
        (budget.forecast === null ? "" : `Forecast: ${budget.method}. `) +
        "Marks at 70, 90 and 100 %.",
    ),
  );
}

function waste(parts, { total: whole }) {
  const largest = Math.max(...parts.map(({ share_percent: share }) => Number(share ?? 0)), 1e-9);
  const places = placesOf([whole]);
  find("#waste").replaceChildren(
    table(
      "Waste",
      [{ name: "Lost to" }, { name: "" }, { name: "USD", number: true }, { name: "of total", number: true }],
      parts.map(({ name, total, share_percent: share, is_lower_bound: lower }) => [
        name === "unknown" ? "Outcome unknown" : words(name),
        bar(Number(share ?? 0) / largest, name),
        amount(total, { places, lower }),
        percent(share),
      ]),
    ),
  );
}

function latency({ ttft_ms: first, duration_ms: duration, cold_start_percent: cold }) {
  const line = (name, values) => [name, ...["p50", "p95", "p99"].map((share) => milliseconds(values[share]))];
  find("#latency").replaceChildren(
    table(
      "Latency",
      [{ name: "Until" }, ...["p50", "p95", "p99"].map((name) => ({ name, number: true }))],
      [line("First token", first), line("End", duration)],
    ),
    make("p", { class: "hint" }, `${percent(cold)} of the starts were cold.`),
  );
}

/** Amounts by name with their share of the whole, as a table; those whose names are in `lower` are at least so much. */
export function amounts(group, whole, caption, name, lower = []) {
  const places = placesOf(Object.values(group));
  const largest = Math.max(...Object.values(group).map((text) => Number(text ?? 0)), 1e-15);
  return table(
    caption,
    [{ name }, { name: "" }, { name: "USD", number: true }, { name: "share", number: true }],
    Object.entries(group).map(([key, text]) => [
      words(key),
      bar(Number(text ?? 0) / largest, key),
      amount(text, { places, lower: lower.includes(key) }),
      text === null || !Number(whole) ? "–" : percent((100 * Number(text)) / Number(whole)),
    ]),
  );
}

/** Show what the report says at first sight. */
export function overview(report, toRequests) {
  notices(report);
  headline(report, toRequests);
  budgetPanel(report.budget);
  waste(report.waste, report.totals);
  latency(report.latency);
  find("#charges").replaceChildren(
    amounts(
      report.totals.components,
      report.totals.total,
      "Charges",
      "Charge",
      report.totals.unpriced.components,
    ),
  );
}
