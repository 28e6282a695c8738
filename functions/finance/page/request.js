// One request: when its time went, what that cost, and how far it is known.
import { ask } from "./api.js";
import { amount } from "./amount.js";
import { find, make, pairs, table } from "./dom.js";
import { bytes, clock, count, exact, milliseconds, money, placesOf, reasons, words } from "./format.js";
import { chargeLines } from "./explained.js";
import { amounts } from "./overview.js";
import { AGAIN } from "./rows.js";

const given = new URLSearchParams(location.search);
const id = decodeURIComponent(location.pathname.split("/").pop());
const range = new URLSearchParams([...given].filter(([name]) => name === "from" || name === "to"));
const zone = given.get("tz") || Intl.DateTimeFormat().resolvedOptions().timeZone;
const times = clock(zone);

function timeline(phases) {
  const end = Math.max(...phases.map(({ end_ms }) => end_ms), 1);
  const places = placesOf(phases.map(({ cost }) => cost));
  const track = ({ phase, start_ms: start, end_ms: stop }) => {
    const filled = make("span", { class: `fill ${phase}` });
    filled.style.setProperty("inset-inline-start", `${(100 * start) / end}%`);
    filled.style.setProperty(
      "inline-size",
      stop > start ? `max(2px, ${(100 * (stop - start)) / end}%)` : "0",
    );
    return make("span", { class: "bar track", "aria-hidden": "true" }, filled);
  };
  return table(
    "Timeline",
    [
      { name: "Phase" },
      { name: "" },
      { name: "Begins", number: true },
      { name: "Takes", number: true },
      { name: "USD", number: true },
    ],
    phases.map((phase) => [
      words(phase.phase),
      track(phase),
      milliseconds(phase.start_ms),
      milliseconds(phase.end_ms - phase.start_ms),
      make("span", { title: exact(phase.cost) }, money(phase.cost, places)),
    ]),
  );
}

function show({ row, timeline: phases, corrections, corrected_total: corrected, changes }) {
  const { cost, usage } = row;
  const lower = cost.unpriced.length > 0;
  const unpriced = corrections.at(-1)?.unpriced ?? cost.unpriced;
  const known = (value) => value ?? "unknown";
  find("#headline").replaceChildren(
    ...pairs([
      [
        "Cost",
        make("span", {}, unpriced.length ? make("small", {}, "at least ") : null, money(corrected ?? cost.total)),
        { title: exact(corrected ?? cost.total), class: "hero", note: id },
      ],
      ...(corrected === null
        ? []
        : [["As booked", amount(cost.total, { lower }), { note: "when the month was closed" }]]),
      [
        "Outcome",
        make(
          "span",
          { class: row.outcome === "ok" ? "text" : "text not-ok" },
          row.outcome ? words(row.outcome) : "Unknown",
        ),
        { note: `${times.moment(row.at)}, ${zone}` },
      ],
      ...(row.answered_from
        ? [
            [
              "Answered again",
              make("span", { class: "text" }, AGAIN[row.answered_from] ?? row.answered_from),
              {
                title: exact(row.saved_total),
                note: `no token was bought; saved ${money(row.saved_total)}, what it cost when it was`,
              },
            ],
          ]
        : []),
      ["First token", milliseconds(row.ttft_ms)],
      [
        "Billed",
        milliseconds(row.billed_ms),
        { note: row.init_ms ? `cold start ${milliseconds(row.init_ms)}` : null },
      ],
      [
        "Tokens in, out",
        `${count(usage.input_tokens)}, ${count(usage.output_tokens)}`,
        { note: `counted by: ${usage.source}` },
      ],
    ]),
  );
  find("#timeline").replaceChildren(
    phases.length
      ? timeline(phases)
      : make("p", {}, "Unknown: Lambda has not reported this request’s duration."),
  );
  find("#charges").replaceChildren(
    amounts(cost.components, cost.total, "Charges", "Charge"),
    ...(corrected === null ? [] : [make("p", { class: "hint" }, "As booked when the month was closed.")]),
  );
  const tags = Object.entries(row.tags)
    .map(([name, value]) => `${name}=${value}`)
    .join(", ");
  const text = (value) => make("span", { class: "text" }, known(value));
  find("#facts").replaceChildren(
    ...pairs([
      ["Model asked", text(row.model)],
      ["Model that answered", text(row.model_returned)],
      ["Schema", text(row.schema ?? "none")],
      ["Tenant", text(row.tenant)],
      ["Tags", text(tags || "none")],
      ["Function", text(row.function)],
      ["Came by", text(row.front && words(row.front))],
      ["Memory", row.memory_mb === null ? "unknown" : `${count(row.memory_mb)} MB`],
      ["Architecture", text(row.architecture)],
      ["GB-seconds", row.gb_s === null ? "unknown" : row.gb_s],
      ["Invocations billed", count(row.billed_invocations)],
      ["Attempts", count(row.attempts)],
      ["Streamed", bytes(row.streamed_bytes)],
      ["Log", bytes(row.log_bytes)],
      ["Cached input tokens", count(usage.cached_input_tokens)],
      ["Reasoning tokens", count(usage.reasoning_tokens)],
      ["Violations", count(row.violations)],
      ["Values validated", count(row.validated_values)],
      ["Tokens not bought", count(row.saved_tokens)],
      ["Saved", money(row.saved_total), { title: exact(row.saved_total) }],
    ]),
  );
  find("#quality").replaceChildren(
    ...pairs([
      ["Join", text(words(row.join_status)), { note: `${count(row.records)} log records` }],
      ["Estimate that the caller was told", money(row.estimate_total), { title: exact(row.estimate_total) }],
      [
        "Not priced",
        text([...reasons(unpriced.map((reason) => [reason, 1])).keys()].join("; ") || "nothing"),
      ],
      ["Contradictions", text(row.anomalies.map(words).join("; ") || "none")],
      [
        "Price book",
        text(cost.price_book_version),
        { note: cost.is_estimate ? "tokens are estimated" : null },
      ],
    ]),
  );
  find("#corrections").hidden = !corrections.length;
  find("#corrections div").replaceChildren(
    table(
      "Corrections",
      [
        { name: `Found, ${zone}` },
        { name: "Outcome" },
        { name: "Before", number: true },
        { name: "Difference", number: true },
        { name: "After", number: true },
      ],
      corrections.map(({ found_at: found, outcome, before, difference, after, unpriced: open }) => [
        times.moment(found),
        outcome ? words(outcome) : "unknown",
        amount(before),
        amount(difference),
        amount(after, { lower: open.length > 0 }),
      ]),
    ),
    table(
      "What they changed",
      [
        { name: "Quantity" },
        { name: "Before", number: true },
        { name: "Difference", number: true },
        { name: "After", number: true },
      ],
      changes.map(({ name, before, difference, after }) => [
        words(name),
        before ?? "unknown",
        difference,
        after,
      ]),
    ),
  );
  find("#request").hidden = false;
}

/** Take the charges apart: the request's own records are read and priced again, which takes a moment. */
async function explain() {
  const box = find("#explained");
  box.replaceChildren(make("p", { class: "hint", role: "status" }, "Reading the request’s records"));
  try {
    const found = await ask(`../api/requests/${encodeURIComponent(id)}/charges`, range);
    const query = new URLSearchParams([...range, ["format", "csv"]]);
    box.replaceChildren(
      found.lines.length
        ? chargeLines(found.lines)
        : make("p", {}, "Its records are no longer kept, or too many to look through: the charges stand without factors."),
      make(
        "p",
        { class: "hint" },
        `Booked with price book ${found.booked_with}`,
        found.explained_with && found.explained_with !== found.booked_with
          ? `, explained with ${found.explained_with}. `
          : ". ",
        found.lines.length && found.differs.length
          ? `Booked otherwise: ${found.differs.map(({ component }) => words(component)).join(", ")}. `
          : "",
        make("a", { href: `../api/requests/${encodeURIComponent(id)}/charges?${query}` }, "As CSV"),
      ),
    );
  } catch (error) {
    const again = make("button", { type: "button" }, "Try again");
    again.addEventListener("click", explain);
    box.replaceChildren(make("p", { class: "not-ok", role: "alert" }, error.message), again);
  }
}

async function load() {
  find("#failure").hidden = true;
  find("main").setAttribute("aria-busy", "true");
  find("#status").textContent = "Loading";
  try {
    show(
      await ask(`../api/requests/${encodeURIComponent(id)}`, range, {
        onRunning: (seconds) => {
          find("#status").textContent = `Athena is looking for it, ${Math.round(seconds)} s so far`;
        },
      }),
    );
    find("#status").textContent = "";
  } catch (error) {
    const again = make("button", { type: "button" }, "Try again");
    again.addEventListener("click", load);
    find("#failure").replaceChildren(
      make("p", {}, make("strong", {}, "The request could not be loaded. "), error.message),
      again,
    );
    find("#failure").hidden = false;
    find("#status").textContent = "";
  } finally {
    find("main").setAttribute("aria-busy", "false");
  }
}

document.title = `${id.slice(0, 8)} · weir`;
// Back to the list as the reader left it, filters and page included.
find("#explain").addEventListener("click", explain);
find("#back").href = `../${sessionStorage.getItem("list") ?? ""}`;
load();
