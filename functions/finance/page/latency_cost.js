// What latency costs: phases by day, model, tenant or function, beside the tokens on one scale if they are wanted.
import { amount } from "./amount.js";
import { stackedBars } from "./charts.js";
import { make, table } from "./dom.js";
import { axisMoney, count, milliseconds, money, percent, placesOf, plural, sum, words } from "./format.js";
import { stateOf } from "./state.js";

const TONES = { cold_start: "group-1", waiting: "group-2", streaming: "group-3", validating: "group-4", rest: "rest" };
const BY = ["day", "model", "tenant", "function"];

/** A link to the requests of a group, or to those of which one of its phases cost most; text where there are none. */
const linked = ({ requests_query: query }, text, toRequests) => (query ? toRequests(stateOf(query), text) : text);

function phases(total, toRequests) {
  const places = placesOf(total.phases.map(({ cost }) => cost));
  return table(
    "What a millisecond costs, by phase",
    [
      { name: "Phase" },
      { name: "USD", number: true },
      { name: "time", number: true },
      { name: "USD a millisecond", number: true },
      { name: "of the total", number: true },
    ],
    [
      ...total.phases.map((phase) => [
        linked(phase, words(phase.phase), toRequests),
        amount(phase.cost, { places }),
        milliseconds(phase.ms),
        make("span", { title: phase.cost_per_ms }, money(phase.cost_per_ms, 12)),
        percent(phase.share_percent, 2),
      ]),
      [
        "Tokens, beside them",
        amount(total.tokens, { places, lower: total.is_lower_bound }),
        "",
        "",
        percent((100 * Number(total.tokens ?? 0)) / Number(total.total) || 0, 2),
      ],
    ],
  );
}

function draw(figure, groups, by, withTokens, toRequests) {
  const parts = Object.keys(TONES).map((name, at) => ({
    title: words(name),
    tone: TONES[name],
    texts: groups.map((group) => money(group.phases[at].cost)),
    values: groups.map((group) => Number(group.phases[at].cost ?? 0)),
  }));
  if (withTokens) {
    parts.push({
      title: "Tokens",
      tone: "group-5",
      texts: groups.map((group) => money(group.tokens)),
      values: groups.map((group) => Number(group.tokens ?? 0)),
    });
  }
  const names = groups.map(({ name }) => name);
  const waiting = sum(groups.map((group) => group.phases[1].cost));
  stackedBars(figure, {
    labels: names,
    titles: names,
    groups: parts,
    totals: groups.map((group) => `${count(group.requests)} requests, ${money(group.total)} in all`),
    axis: axisMoney,
    caption: `What latency costs, by ${by}`,
    finding: `What latency costs by ${by}: waiting ${money(waiting)}`,
    columns: [{ name: words(by) }, ...parts.map(({ title }, group) => ({ name: title, number: true, group }))],
    rows: () => groups.map((group, at) => [group.name, ...parts.map(({ texts }) => texts[at])]),
    lead: (at, part, text) => {
      const group = groups[at];
      const phase = group.phases[part] ?? null;
      const title = phase ? `${group.name}, ${words(phase.phase)}` : group.name;
      const said = text ?? `${title}: ${plural(group.requests, "request")}`;
      return group.requests_query ? linked(phase ?? group, said, toRequests) : null;
    },
  });
}

/** Show the answer of /api/latency. */
export function latencyCost(body, found, { toRequests }) {
  if (!found.total.requests) {
    body.replaceChildren(make("p", { class: "hint" }, "No request in this range: nothing waited."));
    return;
  }
  const by = make(
    "select",
    {},
    ...BY.map((name) => make("option", { value: name }, name)),
  );
  const tokens = make("input", { type: "checkbox" });
  const figure = make("figure", { class: "chart medium" });
  const list = make("div");
  const legend = make("ul", { class: "legend" });
  const again = () => {
    const groups = found[`by_${by.value}`];
    draw(figure, groups, by.value, tokens.checked, toRequests);
    const named = [...Object.entries(TONES), ...(tokens.checked ? [["tokens", "group-5"]] : [])];
    legend.replaceChildren(
      ...named.map(([name, tone]) =>
        make("li", {}, make("span", { class: `key ${tone}`, "aria-hidden": "true" }), words(name)),
      ),
    );
    const places = placesOf(groups.map((group) => group.duration));
    list.replaceChildren(
      table(
        `By ${by.value}: from here to the requests`,
        [
          { name: words(by.value) },
          { name: "Requests", number: true },
          { name: "Waiting", number: true },
          { name: "Cold start", number: true },
          { name: "Duration in all", number: true },
          { name: "Tokens", number: true },
        ],
        groups.map((group) => [
          linked(group, group.name, toRequests),
          count(group.requests),
          linked(group.phases[1], amount(group.phases[1].cost, { places }), toRequests),
          linked(group.phases[0], amount(group.phases[0].cost, { places }), toRequests),
          amount(group.duration, { places }),
          amount(group.tokens, { lower: group.is_lower_bound }),
        ]),
      ),
    );
  };
  by.addEventListener("change", again);
  tokens.addEventListener("change", again);
  body.replaceChildren(
    phases(found.total, toRequests),
    make(
      "div",
      { class: "heading by" },
      make("label", {}, "Phases by ", by),
      make("label", {}, tokens, " with tokens, on the same scale"),
    ),
    figure,
    legend,
    list,
    found.total.waiting_unknown
      ? make("p", { class: "hint" }, `Of ${plural(found.total.waiting_unknown, "billed request")} nobody measured the wait.`)
      : "",
  );
  again(); // a chart takes its size from its place
}
