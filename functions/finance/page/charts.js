// Charts: Chart.js draws, a sentence says what is to be seen, and a table holds every figure that is drawn.
import { make, table } from "./dom.js";

const { Chart } = globalThis;
const GROUPS = 10; // as many as there are components
const REST = new Set(["(unknown)", "(no tag)", "unknown", "(metering)"]);
const drawn = new Map(); // figure -> how it was last drawn, to draw it again when the theme changes

const probe = make("span", { hidden: true });
document.body.append(probe);

/** The colour of a custom property, in today's theme: canvas knows no var() and no light-dark(). */
function colour(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

/** Colours for the theme that is on. */
function theme() {
  return {
    text: colour("text"),
    soft: colour("soft"),
    line: colour("line"),
    panel: colour("panel"),
    bad: colour("bad"),
    rest: colour("rest"),
    other: colour("other"),
    ...Object.fromEntries(
      Array.from({ length: GROUPS }, (_, at) => `group-${at + 1}`).map((name) => [name, colour(name)]),
    ),
  };
}

/** The colour of a group, by its place in the report's list; what has no name of its own is grey. */
export const tone = (name, at) =>
  name === "(other)" ? "other" : REST.has(name) ? "rest" : `group-${(at % GROUPS) + 1}`;

function options(
  colours,
  { stacked = false, y, title, label, footer = () => "", filter = () => true, ticks = null, x = {}, lead = null },
) {
  const font = { family: getComputedStyle(document.body).fontFamily, size: 11 };
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    onHover: ({ native }, items) => {
      native.target.style.cursor = lead && items.length ? "pointer" : "";
    },
    onClick: ({ native }, [item], chart) => {
      if (!lead || !item) return;
      const [exact] = chart.getElementsAtEventForMode(native, "nearest", { intersect: true }, false);
      follow(chart.canvas.closest("figure"), native, lead(item.index, exact?.datasetIndex ?? null));
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        backgroundColor: colours.panel,
        borderColor: colours.line,
        borderWidth: 1,
        cornerRadius: 6,
        padding: 10,
        titleColor: colours.text,
        bodyColor: colours.text,
        footerColor: colours.soft,
        titleFont: { ...font, size: 12 },
        bodyFont: { ...font, size: 12 },
        footerFont: { ...font, size: 12, weight: "normal" },
        boxPadding: 4,
        filter,
        callbacks: { title, label, footer },
        itemSort: (a, b) => b.raw - a.raw,
      },
    },
    scales: {
      x: {
        stacked,
        grid: { display: false },
        border: { color: colours.line },
        ticks: {
          color: colours.soft,
          font,
          maxRotation: 0,
          autoSkipPadding: 16,
          ...(ticks ? { callback: ticks } : {}),
        },
        ...x,
      },
      y: {
        stacked,
        beginAtZero: true,
        border: { display: false },
        grid: { color: colours.line },
        ticks: { color: colours.soft, font, maxTicksLimit: 6, callback: y },
        afterFit: (scale) => {
          scale.width = 64;
        },
      }, // equal, so that charts below each other share their hours
    },
  };
}

/** A mouse has read the tooltip and goes on; a finger reads it first, and then takes the link below the chart. */
function follow(figure, { pointerType }, link) {
  if (!link) return;
  figure.querySelector(".lead").replaceChildren(link);
  if (pointerType === "mouse") link.click();
}

/** Draw into a figure. `build(colours)` gives Chart.js's configuration; `columns` and `rows()` are the table's.
 * `lead(at, group, text)`, where there are requests to be led to, is a link to those of a bar, or of a group of it;
 * a column of the table that holds a group's figures says its place in `group`. */
function show(figure, { finding, build, columns, rows, caption, lead = null }) {
  drawn.get(figure)?.chart.destroy();
  let canvas = figure.querySelector("canvas");
  if (!canvas) {
    canvas = make("canvas", { role: "img" });
    figure.replaceChildren(
      make("div", { class: "canvas" }, canvas),
      make("p", { class: "lead hint", role: "status" }),
      make("details", { class: "data" }, make("summary"), make("div")),
    );
    // Made when it is opened: most readers never do.
    figure.querySelector("details").addEventListener("toggle", () => fill(figure));
  }
  canvas.setAttribute("aria-label", lead ? `${finding} The figures below lead to the requests.` : finding);
  figure.querySelector(".lead").replaceChildren();
  const summary = figure.querySelector("summary");
  summary.textContent = lead ? "Figures, and their requests" : "Figures";
  summary.setAttribute("aria-label", `${summary.textContent}: ${caption}`);
  const entry = { build, columns, rows, caption, lead, chart: new Chart(canvas, build(theme())) };
  drawn.set(figure, entry);
  fill(figure);
}

function fill(figure) {
  const details = figure.querySelector("details");
  const { caption, columns, rows, lead } = drawn.get(figure);
  if (!details.open) {
    details.lastElementChild.replaceChildren();
    return;
  }
  const leads = (place) => lead && (place === 0 || columns[place].group !== undefined);
  const cells = (row, at) =>
    row.map((text, place) => (leads(place) ? (lead(at, columns[place].group ?? null, text) ?? text) : text));
  details.lastElementChild.replaceChildren(table(caption, columns, rows().map(cells)));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [figure, entry] of drawn) {
    entry.chart.destroy();
    entry.chart = new Chart(figure.querySelector("canvas"), entry.build(theme()));
  }
});

/** How an axis of many hours is written: at midnight, with the day. Null where each label can stand. */
export function midnights(instants, times) {
  const starts = instants.map((instant) => times.clock(instant) === "00:00");
  return instants.length > 48 && starts.some(Boolean)
    ? (_, at) => (starts[at] ? times.day(instants[at]) : null)
    : null;
}

/** Stacked bars. `groups`: [{title, tone, values: [number|null], texts: [string]}], from the axis up. */
export function stackedBars(figure, { labels, titles, groups, totals, axis, ticks, ...rest }) {
  const { lead } = rest;
  show(figure, {
    ...rest,
    build: (colours) => ({
      type: "bar",
      data: {
        labels,
        datasets: groups.map(({ title, values, tone: own }) => ({
          label: title,
          data: values,
          backgroundColor: colours[own],
          borderColor: colours.panel,
          borderWidth: { top: values.length < 120 ? 1 : 0 },
          borderSkipped: false,
          categoryPercentage: 0.86,
          barPercentage: 1,
          maxBarThickness: 56,
        })),
      },
      options: options(colours, {
        stacked: true,
        ticks,
        y: axis,
        title: ([item]) => (item ? titles[item.dataIndex] : ""),
        label: (item) => `${item.dataset.label}  ${groups[item.datasetIndex].texts[item.dataIndex]}`,
        footer: ([item]) => (item && totals ? totals[item.dataIndex] : ""),
        filter: (item) => Boolean(item.raw),
        lead,
      }),
    }),
  });
}

/** Two lines, p50 and p95; what is unknown is a gap. */
export function percentiles(figure, { labels, titles, p50, p95, tone: own, write, ticks, ...rest }) {
  // A value whose neighbours are unknown has no line to be seen by.
  const alone = (values, at) => (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null;
  show(figure, {
    ...rest,
    build: (colours) => ({
      type: "line",
      data: {
        labels,
        datasets: [
          ["p50", p50, []],
          ["p95", p95, [5, 4]],
        ].map(([label, data, borderDash]) => ({
          label,
          data,
          borderDash,
          borderColor: colours[own],
          backgroundColor: colours[own],
          borderWidth: 2,
          pointRadius: ({ dataIndex }) => (alone(data, dataIndex) ? 3 : 0),
          pointHoverRadius: 4,
          tension: 0,
          spanGaps: false,
        })),
      },
      options: options(colours, {
        ticks,
        y: write,
        title: ([item]) => (item ? titles[item.dataIndex] : ""),
        label: (item) => `${item.dataset.label}  ${write(item.raw)}`,
        x: { offset: true },
        lead: rest.lead,
      }),
    }),
  });
}
