// Two periods: what the cost changed by, what made it, and the names that moved most.
import { amount } from "./amount.js";
import { bar, make, table } from "./dom.js";
import { clock, count, exact, percent } from "./format.js";
import { change } from "./what_if.js";

const WORDS = {
  volume: ["Volume", "more or fewer requests"],
  mix: ["Mix", "other models and names"],
  tokens: ["Tokens a request", "at the price before"],
  latency: ["Latency", "billed time of a request"],
  price: ["Price", "of tokens, and of a millisecond"],
  other: ["Other", "by the request, bytes, log lines"],
  corrections: ["Corrections", "of closed months"],
};

const signed = (text) => make("span", { title: exact(text) }, change(text));

/** Show the answer of /api/compare. */
export function comparison(body, found) {
  const times = clock(found.range.time_zone);
  const largest = Math.max(...Object.values(found.parts).map((part) => Math.abs(Number(part))), 1e-15);
  const span = ({ from, to }) => `${times.minute(from)} to ${times.minute(to)}`;
  const names = Object.keys(WORDS).filter((name) => found.groups.some((group) => Number(group.parts[name])));
  const parts = table(
    "What made the change",
    [{ name: "Made by" }, { name: "" }, { name: "USD", number: true }],
    Object.entries(WORDS).map(([name, [title, note]]) => [
      make("span", {}, title, make("span", { class: "note" }, note)),
      bar(Math.abs(Number(found.parts[name])) / largest, Number(found.parts[name]) < 0 ? "less" : "more"),
      signed(found.parts[name]),
    ]),
  );
  body.replaceChildren(
    table(
      "Two periods",
      [{ name: "Period" }, { name: "Requests", number: true }, { name: "USD", number: true }],
      [
        [span(found.before_range), count(found.before.requests), amount(found.before.total, { lower: found.before.is_lower_bound })],
        [span(found.range), count(found.after.requests), amount(found.after.total, { lower: found.after.is_lower_bound })],
        [make("strong", {}, "Change"), found.percent === null ? "" : percent(found.percent), signed(found.change)],
      ],
    ),
    make("h3", {}, "What made it; the parts are the change to the last digit"),
    parts,
    make("h3", {}, `Moved most, by ${found.by.replace("tag:", "tag ")}`),
    table(
      "Moved most",
      [
        { name: "Name" },
        { name: "Change", number: true },
        ...names.map((name) => ({ name: WORDS[name][0], number: true })),
      ],
      found.groups.map((group) => [group.name, signed(group.change), ...names.map((name) => signed(group.parts[name]))]),
    ),
    found.others.groups
      ? make("p", { class: "hint" }, `${count(found.others.groups)} others moved ${change(found.others.change)}.`)
      : "",
  );
}
