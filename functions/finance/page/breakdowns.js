// What the money went to, by outcome, model, tenant, feature and function; a name narrows the report to itself.
import { amount } from "./amount.js";
import { amounts } from "./overview.js";
import { bar, find, make, table } from "./dom.js";
import { count, percent, placesOf, words } from "./format.js";

const SHOWN = 6;
const NARROWS = {
  outcome: (name) => ({ outcome: name }),
  model: (name) => ({ served_model: name }),
  tenant: (name) => ({ tenant: name }),
  function: (name) => ({ function: name }),
  tag: (name, tags, tag) => ({
    tag: [...tags.filter((one) => !one.startsWith(`${tag}=`)), `${tag}=${name}`],
  }),
};

/** The filter that finds a name's requests, beside the `tags` chosen; null where nothing does: a sum of names, no tag. */
export function filterOf(by, name, tags) {
  if (name === "(other)" || name === "(no tag)" || name === "(metering)") return null;
  if (by === "feature") return NARROWS.tag(name, tags, by);
  return by.startsWith("tag:") ? NARROWS.tag(name, tags, by.slice(4)) : NARROWS[by](name);
}

function panel(kind, entries, narrow, tags) {
  const places = placesOf(entries.map(({ total }) => total));
  const largest = Math.max(...entries.map(({ total }) => Number(total ?? 0)), 1e-12);
  const written = (name) => (kind === "outcome" ? words(name) : name);
  const shown = table(
    `Cost by ${kind}`,
    [
      { name: words(kind) },
      { name: "" },
      { name: "Requests", number: true },
      { name: "USD", number: true },
      { name: "share", number: true },
    ],
    entries.map(({ name, requests, total, share_percent: share, is_lower_bound: lower }) => [
      filterOf(kind, name, tags) ? narrow(filterOf(kind, name, tags), written(name)) : written(name),
      bar(Number(total ?? 0) / largest),
      count(requests),
      amount(total, { places, lower }),
      percent(share),
    ]),
  );
  shown.classList.add("five");
  const made = make(
    "section",
    { class: "panel", "aria-label": `By ${kind}` },
    make("h2", {}, `By ${kind}`),
    shown,
  );
  if (entries.length > SHOWN + 1) {
    const button = make(
      "button",
      { type: "button", class: "quiet", "aria-expanded": "false" },
      `Show all ${entries.length}`,
    );
    shown.classList.add("shortened");
    button.addEventListener("click", () => {
      const short = shown.classList.toggle("shortened");
      button.setAttribute("aria-expanded", String(!short));
      button.textContent = short ? `Show all ${entries.length}` : "Show fewer";
    });
    made.append(button);
  }
  return made;
}

/** Show the report's breakdowns; `narrow(changes, ...content)` makes a link that filters, beside the `tags` chosen. */
export function breakdowns(report, narrow, tags) {
  find("#breakdowns").replaceChildren(
    ...["outcome", "model", "tenant", "feature", "function"]
      .filter((kind) => report.breakdowns[kind].length)
      .map((kind) => panel(kind, report.breakdowns[kind], narrow, tags)),
    make(
      "section",
      { class: "panel", "aria-label": "By phase" },
      make("h2", {}, "Lambda duration by phase"),
      amounts(
        report.totals.phases,
        report.totals.components.lambda_duration,
        "Lambda duration by phase",
        "Phase",
      ),
    ),
  );
}
