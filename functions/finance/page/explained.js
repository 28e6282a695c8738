// Charges taken apart: quantity by unit price is the amount, with who says so.
import { make, table } from "./dom.js";
import { exact, money, placesOf, plural, words } from "./format.js";

const COLUMNS = [
  { name: "Charge" },
  { name: "Quantity", number: true },
  { name: "× unit price", number: true },
  { name: "= USD", number: true },
  { name: "Bought of, and who says so" },
];

// More digits than a reader needs stand in the title.
const shortened = (text) => (text === null ? "not in the rows" : Number(text).toLocaleString("en-GB", { maximumSignificantDigits: 9 }));

/** The lines as a table. */
export function chargeLines(lines) {
  const places = placesOf(lines.map(({ amount }) => amount));
  const shown = table(
    "Charges, explained",
    COLUMNS,
    lines.map((line) => [
      make(
        "span",
        {},
        words(line.component),
        make("span", { class: "note" }, line.attempt ? `attempt ${line.attempt}` : plural(line.requests, "request")),
      ),
      make("span", { title: line.quantity }, shortened(line.quantity), make("span", { class: "note" }, line.unit?.replace("1000000", "million") ?? "no price")),
      line.unit_price === null ? "no price" : make("span", {}, `$${line.unit_price}`),
      make("span", { title: exact(line.amount) }, money(line.amount, places)),
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
export function explained(body, found, { query }) {
  if (!found.lines.length) {
    body.replaceChildren(make("p", { class: "hint" }, "No request in this range: nothing was charged."));
    return;
  }
  body.replaceChildren(
    chargeLines(found.lines),
    make(
      "p",
      { class: "hint" },
      "What has one price is one line. Rows are rounded one by one, at 15 places; corrections are not in it. ",
      make("a", { href: `api/charges?${query}&format=csv` }, "As CSV"),
    ),
  );
}
