// How far the figures can be trusted: completeness by hour, rows that are known in part, the estimate's error, the price book.
import { midnights, stackedBars } from "./charts.js";
import { amount } from "./amount.js";
import { find, make, pairs } from "./dom.js";
import { count, percent, plural, reasons } from "./format.js";

function hours({ hours: listed, counted_until: until }, times, toRequests) {
  const counted = listed.filter(({ reports_in_log: reports }) => reports !== null);
  const missing = counted.reduce((so_far, hour) => so_far + (hour.missing ?? 0), 0);
  const holes = counted.filter(({ missing: none }) => none).length;
  // Of a long range the report lists only the hours that miss something.
  const said =
    !counted.length && until
      ? "No hour that was counted misses a row."
      : !counted.length
        ? "The log has not been counted for this range, so it is unknown whether rows are missing."
        : missing
          ? `${plural(missing, "row")} missing in ${plural(holes, "hour")} of ${count(counted.length)} counted.`
          : `Nothing is missing in ${plural(counted.length, "counted hour")}.`;
  const hourly = midnights(
    listed.map(({ hour }) => hour),
    times,
  );
  const column = (of) => {
    const values = listed.map(of);
    return { values, texts: values.map(count) };
  };
  const known = (hour) => hour.reports_in_log !== null;
  stackedBars(find("#completeness-chart"), {
    caption: "Completeness by hour",
    finding: `Completeness: ${said}`,
    labels: listed.map(({ hour }) => times.hour(hour)),
    titles: listed.map(({ hour }) => times.minute(hour)),
    ticks: hourly,
    axis: (value) => (Number.isInteger(value) ? count(value) : ""),
    lead: (at, _, text) => {
      const { hour, rows } = listed[at];
      const to = new Date(Date.parse(hour) + 3_600_000).toISOString();
      return rows ? toRequests({ from: hour, to }, text ?? `${times.minute(hour)}: ${plural(rows, "row")}`) : null;
    },
    groups: [
      { title: "Rows", tone: "group-1", ...column((hour) => (known(hour) ? hour.rows : 0)) },
      { title: "Rows, log not counted", tone: "rest", ...column((hour) => (known(hour) ? 0 : hour.rows)) },
      { title: "Missing", tone: "bad", ...column((hour) => hour.missing ?? 0) },
    ],
    columns: [
      { name: "Hour" },
      { name: "Reports in the log", number: true },
      { name: "Rows", number: true },
      { name: "Missing", number: true },
    ],
    rows: () =>
      listed.map((hour) => [
        times.minute(hour.hour),
        count(hour.reports_in_log),
        count(hour.rows),
        count(hour.missing),
      ]),
  });
  find("#completeness-note").textContent =
    `${said} What is counted are billed ` +
    `invocations in the log group against rows in the ledger${until ? `, until ${times.minute(until)}` : ""}.`;
}

/** Show what the report says about itself. */
export function quality(report, times, toRequests) {
  const {
    completeness,
    totals: { estimates, unpriced },
    price_book: book,
    corrections,
  } = report;
  hours(completeness, times, toRequests);
  const partly = completeness.bill_only + completeness.usage_only + completeness.started_only;
  const why = [...reasons(Object.entries(unpriced.reasons))].map(
    ([reason, rows]) => `${reason}: ${count(rows)}`,
  );
  find("#quality").replaceChildren(
    ...pairs([
      [
        "Bill and usage known",
        count(completeness.complete),
        { note: "billed by Lambda and completed by the application" },
      ],
      [
        "One of them known",
        count(partly),
        {
          note:
            `${count(completeness.bill_only)} bill only, ${count(completeness.usage_only)} ` +
            `usage only, ${count(completeness.started_only)} started only`,
        },
      ],
      [
        "Not priced in full",
        count(unpriced.rows),
        { note: why.slice(0, 4).join("; ") || null, title: why.join("\n") || null },
      ],
      ["Rows that contradict themselves", count(completeness.rows_with_anomalies)],
      [
        "The estimate’s bias",
        percent(estimates.bias_percent, 2),
        {
          note: estimates.rows
            ? `what callers were told against the ledger, ${plural(estimates.rows, "request")}`
            : null,
        },
      ],
      [
        "The estimate’s error",
        `${percent(estimates.error_p50_percent, 2)}`,
        { note: `p50; p99 is ${percent(estimates.error_p99_percent, 2)}` },
      ],
      [
        "Corrections of closed months",
        amount(corrections.total, { lower: corrections.is_lower_bound }),
        { note: `${plural(corrections.rows, "row")}, found in this range` },
      ],
      [
        "Price book",
        make("span", { class: "text" }, book.version),
        {
          note: `new rows; ${book.as_of ? `of ${times.longDay(book.as_of)}, ${plural(book.age_days, "day")} old` : ""}`,
        },
      ],
      [
        "Price books of these rows",
        make("span", { class: "text" }, book.versions_in_rows.join(", ") || "none"),
        { note: book.versions_in_rows.length > 1 ? "more than one made the sums above" : null },
      ],
      [
        "Records set aside",
        count(completeness.set_aside),
        {
          note:
            `${plural(completeness.unreadable_objects, "object")} ` +
            `unreadable; log lines dropped ${plural(completeness.logs_dropped, "time")}`,
        },
      ],
    ]),
  );
}
