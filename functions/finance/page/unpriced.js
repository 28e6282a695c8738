// What is not priced, as a queue of work; and the record that would price a model, checked before it is taken away.
import { ask } from "./api.js";
import { make, table } from "./dom.js";
import { count, exact, money, plural, reasons } from "./format.js";

const FIELDS = { input: "Input", cached_input: "From a cache", output: "Output" };

function checked(item, query) {
  const said = make("p", { class: "hint", role: "status" });
  const inputs = Object.entries(FIELDS).map(([name, title]) =>
    make(
      "label",
      {},
      `${title}, USD `,
      make("input", { name, inputmode: "decimal", value: item.prices[name] ?? "", autocomplete: "off" }),
    ),
  );
  const form = make(
    "form",
    { class: "line", "aria-label": `Prices of a million tokens of ${item.model}` },
    ...inputs,
    make("button", {}, "Check"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = new URLSearchParams({ of_model: item.model });
    for (const name of ["from", "to", "tz"]) if (query.get(name)) wanted.set(name, query.get(name));
    for (const [name, value] of new FormData(form)) if (value) wanted.set(name, value);
    said.textContent = "Checking";
    try {
      const found = await ask("api/unpriced/override", wanted);
      wanted.set("format", "file");
      said.replaceChildren(
        `Good. ${plural(found.requests, "request")} of this range would cost ${money(found.adds)} more. `,
        make("a", { href: `api/unpriced/override?${wanted}` }, "The record"),
        " goes into PriceOverrides, for the days that begin after. Those that have their prices, today among them, " +
          "keep them until costs reprice --apply gives them these; without --apply it shows what would change.",
      );
    } catch (error) {
      said.replaceChildren(make("span", { class: "not-ok" }, error.message));
    }
  });
  return make("details", {}, make("summary", {}, "A price for it"), form, said);
}

/** Show the answer of /api/unpriced. */
export function unpricedQueue(body, found, { query }) {
  if (!found.items.length) {
    body.replaceChildren(make("p", { class: "hint" }, "Everything in this range is priced in full."));
    return;
  }
  const shown = table(
    "Not priced in full",
    [
      { name: "Reason" },
      { name: "Requests", number: true },
      { name: "Tokens in", number: true },
      { name: "out", number: true },
      { name: "At the nearest price", number: true },
    ],
    found.items.map((item) => {
      const [reason] = reasons([[item.model ? `${item.reason}:0000-00-00` : item.reason, 1]]).keys();
      return [
        make("div", {}, reason, item.model && checked(item, query)),
        count(item.requests),
        count(item.input_tokens),
        count(item.output_tokens),
        make(
          "span",
          { title: exact(item.at_nearest) },
          item.model || item.nearest ? money(item.at_nearest) : "",
          item.nearest && make("span", { class: "note" }, `as ${item.nearest}`),
        ),
      ];
    }),
  );
  shown.classList.add("queue");
  body.replaceChildren(
    shown,
    make(
      "p",
      { class: "hint" },
      "The nearest price is that of the listed model, or AWS Region, whose name is most like it. It says what is at stake, and is no price of theirs.",
    ),
  );
}
