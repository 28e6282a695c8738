// Charges taken apart: quantity by unit price is the amount, with who says so.
import { make, table } from "./dom.js";
import { exact, money, placesOf, plural, quantity, unit, words } from "./format.js";

const COLUMNS = [
  { name: "Charge" },
  { name: "Quantity", number: true },
  { name: "× unit price", number: true },
  { name: "= USD", number: true },
  { name: "Bought of, and who says so" },
];

const ENTRIES = { correction: "corrections of closed months", metering: "what the ledger itself cost" };

/** What a line is of: an attempt, or so many requests, to which `toLine` links. */
function of(line, toLine) {
  if (line.attempt) return `attempt ${line.attempt}`;
  if (line.entry === "metering") return ENTRIES.metering;
  const requests = line.entry === "correction" ? ENTRIES.correction : plural(line.requests, "request");
  return line.id ? toLine(line.id, requests) : requests;
}

/** The lines as a table; `toLine(id, ...content)` makes a link to the requests of one. */
export function chargeLines(lines, toLine = null) {
  const places = placesOf(lines.map(({ amount }) => amount));
  const shown = table(
    "Charges, explained",
    COLUMNS,
    lines.map((line) => [
      make(
        "span",
        {},
        words(line.component),
        make("span", { class: "note" }, of(line, toLine)),
      ),
      line.entry === "request"
        ? make("span", { title: line.quantity }, quantity(line.quantity), make("span", { class: "note" }, unit(line)))
        : "",
      line.unit_price === null ? (line.entry === "request" ? "no price" : "") : `$${line.unit_price}`,
      make(
        "span",
        { title: exact(line.amount ?? line.booked) },
        money(line.amount ?? line.booked, places),
        line.amount === null && line.booked && line.entry === "request" ? make("span", { class: "note" }, "booked") : null,
      ),
      make(
        "span",
        {},
        [line.model, line.seller, line.tier, line.region, line.architecture].filter(Boolean).join(", "),
        make("span", { class: "note" }, [line.source, line.valid_from && `since ${line.valid_from}`].filter(Boolean).join(", ")),
      ),
    ]),
  );
  shown.classList.add("explained", "cards");
  return shown;
}

/** Show the answer of /api/charges. */
export function explained(body, found, { toLine, query }) {
  if (!found.lines.length) {
    body.replaceChildren(make("p", { class: "hint" }, "No request in this range: nothing was charged."));
    return;
  }
  body.replaceChildren(
    chargeLines(found.lines, toLine),
    make(
      "p",
      { class: "hint" },
      `What has one price is one line, at the prices of today’s book. Rows are booked one by one, rounded to 15 places, at the prices of their day: all of them are ${exact(found.total)}, the total of the report. `,
      make("a", { href: `api/charges?${query}&format=csv` }, "As CSV"),
    ),
  );
}
