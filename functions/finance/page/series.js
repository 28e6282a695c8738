// Cost over time by whatever the reader chose, and the percentiles of the same hours or days below it.
import { midnights, percentiles, stackedBars, tone } from "./charts.js";
import { amount } from "./amount.js";
import { filterOf } from "./breakdowns.js";
import { find, make } from "./dom.js";
import { axisMoney, count, exact, milliseconds, money, percent, placesOf, plural, sum, words } from "./format.js";

const BY = ["component", "outcome", "tenant", "feature", "model", "function", "tag"];
// Charges keep their colour whatever a range holds; the usual ones have the clearest.
const COLOURS = [
  "output_tokens",
  "lambda_duration",
  "input_tokens",
  "api_gateway",
  "logs",
  "cached_input_tokens",
  "cache_write_tokens",
  "lambda_request",
  "lambda_streamed_bytes",
  "lambda_ephemeral_storage",
  "lambda_restore",
  "audio_input_tokens",
  "audio_output_tokens",
  "metering",
];

function largest(points, of) {
  return points.reduce(
    (best, point) => (of(point) > of(best ?? point) || best === null ? point : best),
    null,
  );
}

function finding(kind, series, totals, legend, name) {
  const peak = largest(series.points, (point) => Number(point.total));
  if (!peak) return `${kind}: nothing in this range.`;
  const first = legend[0];
  const part =
    first && Number(totals.total)
      ? `; the largest part is ${first.title}, ${percent((100 * Number(first.total)) / Number(totals.total), 0)}`
      : "";
  const lower = totals.is_lower_bound ? "at least " : "";
  const range = `${series.points.length} ${series.bucket}s, highest on ${name(peak)} with ${money(peak.total)}`;
  return `${kind}: ${lower}${money(totals.total)} over ${range}${part}.`;
}

/** A bucket's range in the reader's zone: days where it is whole days. */
function spanOf(points, at, range) {
  const when = (instant) => (/T00:00:00(?!\.)/.test(instant) ? instant.slice(0, 10) : instant);
  return { from: when(at ? points[at].start : range.from), to: when(points[at + 1]?.start ?? range.to) };
}

/** Draw a report's series, of an overview its cost alone; `toRequests(changes, ...content)` links to a bar's requests. */
export function series(report, times, state, toRequests) {
  const { bucket, by, groups } = report.series;
  // Without a prototype: a tag may be called "constructor", and is then not in every point.
  const points = report.series.points.map((point) => ({
    ...point,
    groups: Object.assign(Object.create(null), point.groups),
  }));
  const short = bucket === "hour" ? times.hour : times.day;
  const long = bucket === "hour" ? times.minute : times.longDay;
  const labels = points.map(({ start }) => short(start));
  const titles = points.map(({ start }) => long(start));
  const title = (name) => (by === "component" || by === "outcome" ? words(name) : name);
  const legend = groups
    .map((name, at) => ({
      name,
      at: by === "component" ? COLOURS.indexOf(name) : at,
      title: title(name),
      total: sum(points.map((point) => point.groups[name])),
    }))
    .filter(({ total }) => total !== null && Number(total) !== 0);
  const sorted = [...legend].sort((a, b) => Number(b.total) - Number(a.total));
  const caption = `Cost over time by ${by.replace("tag:", "tag ")}`;
  const digits = placesOf(points.map(({ total }) => total));
  // A name that a bucket leaves out has cost nothing in it; null is unknown.
  const text = (point, name) => money(name in point.groups ? point.groups[name] : "0", digits);
  const least = (point) => (point.is_lower_bound ? "≥\u00a0" : "");
  const starts = points.map(({ start }) => start);
  const ticks = bucket === "hour" ? midnights(starts, times) : null;
  const common = { labels, titles, ticks };
  const lead = (at, changes, text, title) =>
    points[at].requests
      ? toRequests(
          { ...spanOf(points, at, report.range), ...changes },
          text ?? `${title}: ${plural(points[at].requests, "request")}`,
        )
      : null;

  stackedBars(find("#cost-chart"), {
    ...common,
    caption,
    axis: axisMoney,
    finding: finding(caption, report.series, report.totals, sorted, (point) => long(point.start)),
    lead: (at, place, text) => {
      const group = sorted[place];
      const sums = by === "component" && group && group.name !== "metering" ? { sort: group.name } : null;
      const found = !group || by === "component" ? sums : filterOf(by, group.name, state.tag);
      return lead(at, { sort: "cost", ...found }, text, titles[at]);
    },
    groups: sorted.map(({ name, at }) => ({
      title: title(name),
      tone: tone(name, at),
      texts: points.map((point) => text(point, name)),
      values: points.map((point) =>
        point.groups[name] === undefined || point.groups[name] === null ? null : Number(point.groups[name]),
      ),
    })),
    totals: points.map(
      (point) => `${least(point)}${money(point.total)} in all, ${count(point.requests)} requests`,
    ),
    columns: [
      { name: bucket === "hour" ? "Hour" : "Day" },
      { name: "Requests", number: true },
      { name: "Total", number: true },
      ...sorted.map(({ name }, group) => ({ name: title(name), number: true, group })),
    ],
    rows: () =>
      points.map((point, at) => [
        titles[at],
        count(point.requests),
        least(point) + money(point.total, digits),
        ...sorted.map(({ name }) => text(point, name)),
      ]),
  });
  const places = placesOf(sorted.map(({ total }) => total));
  const lower = new Set(
    by === "component"
      ? report.totals.unpriced.components
      : report.series.totals.filter((one) => one.is_lower_bound).map((one) => one.name),
  );
  find("#cost-legend").replaceChildren(
    ...sorted.map(({ name, at, title: words_, total }) =>
      make(
        "li",
        {},
        make("span", { class: `key ${tone(name, at)}` }),
        `${words_} `,
        make("span", { class: "amount" }, amount(total, { places, lower: lower.has(name) })),
      ),
    ),
  );
  showBy(state.by);
  if (!report.latency) return;

  for (const [figure, name, kind, own, sort] of [
    ["#ttft-chart", "ttft", "Time to first token", "group-1", "first_token"],
    ["#duration-chart", "duration", "Duration", "group-2", "duration"],
  ]) {
    const [p50, p95] = ["p50", "p95"].map((share) =>
      points.map((point) => point[`${name}_${share}_ms`] ?? null),
    );
    const slowest = largest(points, (point) => point[`${name}_p95_ms`] ?? -1);
    const overall = report.latency[`${name}_ms`];
    percentiles(find(figure), {
      ...common,
      caption: `${kind} over time`,
      p50,
      p95,
      tone: own,
      lead: (at, _, text) => lead(at, { sort }, text, `${titles[at]}, the slowest first`),
      write: milliseconds,
      finding:
        `${kind}: p50 ${milliseconds(overall.p50)}, p95 ${milliseconds(overall.p95)}` +
        (slowest
          ? `; slowest on ${long(slowest.start)} with a p95 of ${milliseconds(slowest[`${name}_p95_ms`])}.`
          : "."),
      columns: [
        { name: bucket === "hour" ? "Hour" : "Day" },
        { name: "p50", number: true },
        { name: "p95", number: true },
      ],
      rows: () => points.map((_, at) => [titles[at], milliseconds(p50[at]), milliseconds(p95[at])]),
    });
  }
  distribution(report.distribution);
}

function distribution({ buckets, p50, p90, p99, max }) {
  const span = ({ from, to }) => (to === null ? `${money(from)} and more` : `${money(from)} to ${money(to)}`);
  const names = buckets.map(span);
  const fullest = buckets.reduce(
    (best, bucket) => (bucket.requests > (best?.requests ?? 0) ? bucket : best),
    null,
  );
  stackedBars(find("#distribution-chart"), {
    caption: "Distribution of cost per request",
    labels: buckets.map(({ from }) => axisMoney(Number(from))),
    titles: names,
    axis: (value) => (Number.isInteger(value) ? count(value) : ""),
    finding:
      `Cost per request: half cost at most ${money(p50)}, one in a hundred more than ${money(p99)}` +
      (fullest ? `; most, ${count(fullest.requests)}, cost ${span(fullest)}.` : "."),
    groups: [
      {
        title: "Requests",
        tone: "group-1",
        values: buckets.map(({ requests }) => requests),
        texts: buckets.map(({ requests }) => count(requests)),
      },
    ],
    columns: [{ name: "Cost" }, { name: "Requests", number: true }],
    rows: () => buckets.map(({ requests }, at) => [names[at], count(requests)]),
  });
  find("#distribution").replaceChildren(
    ...[
      ["p50", p50],
      ["p90", p90],
      ["p99", p99],
      ["highest", max],
    ].map(([name, value]) =>
      make("div", {}, make("dt", {}, name), make("dd", { title: exact(value) }, money(value))),
    ),
  );
}

function showBy(by) {
  const tag = by.startsWith("tag:");
  find("#by").value = tag ? "tag" : by;
  find("#tag-name").hidden = !tag;
  if (tag) find("#tag-name input").value = by.slice(4);
}

/** Offer what the cost can be split by; `choose(by)` is called with the API's word for it. */
export function bindSeries(choose) {
  find("#by").append(...BY.map((name) => make("option", { value: name }, name === "tag" ? "tag …" : name)));
  const name = find("#tag-name input");
  find("#by").addEventListener("change", ({ target }) => {
    find("#tag-name").hidden = target.value !== "tag";
    if (target.value !== "tag") choose(target.value);
    else name.focus();
  });
  name.addEventListener("change", () => {
    if (name.value.trim()) choose(`tag:${name.value.trim()}`);
  });
}
