// The dashboard: reads the reader's question from the URL, asks the report and a page of rows, and shows both.
import { ask } from "./api.js";
import { breakdowns } from "./breakdowns.js";
import { corrections } from "./corrections.js";
import { find, make } from "./dom.js";
import { offerExports } from "./exports.js";
import { clock, count, plural } from "./format.js";
import { bindForm, fillForm, markFields } from "./form.js";
import { headline, overview } from "./overview.js";
import { quality } from "./quality.js";
import { bindRows, loadRows } from "./rows.js";
import { activeFilters, filterParameters, parameters, readState, withoutFilters } from "./state.js";
import { bindSeries, series } from "./series.js";
import { bindStudies, openStudy, reloadStudies } from "./studies.js";

// `before` are the cursors of the pages before the one shown; the history keeps them, the URL need not.
let state = { ...readState(location.search), before: history.state?.before ?? [] };
const asked = { report: new AbortController(), rows: new AbortController() };

/** Go on with a changed state: the URL says it, `push` makes Back return to what was shown before. */
function change(changes, push = true) {
  state = { ...state, ...changes };
  if (!state.cursor) state.before = [];
  const kept = { before: state.before };
  const url = `?${parameters(state)}`;
  if (push && url !== location.search) history.pushState(kept, "", url);
  else history.replaceState(kept, "", url);
  sessionStorage.setItem("list", url); // where a request's page leads back to
}

/** A link that changes the state, and works in a new tab, too; the reader goes on at `to`, and `again` asks. */
function link(changes, to, content, again = load) {
  const wanted = { ...state, line: "", ...changes, cursor: "" };
  const made = make("a", { href: `?${parameters(wanted)}` }, ...content);
  made.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    change(wanted);
    again();
    find(to).focus(); // the link itself is about to go
  });
  return made;
}

/** A link that narrows the report. */
const narrow = (changes, ...content) => link(changes, "#report", content);

/** A link that narrows the report and leads to its requests. */
const toRequests = (changes, ...content) => link(changes, "#requests", content);

/** A link to the requests of a line of charges, or with "" to all of them: the report stays as it is. */
const toLine = (line, ...content) => link({ line }, "#requests", content, reloadRows);

const reloadRows = () => loadRows(state, anew("rows"), { toLine });

function retryButton() {
  const button = make("button", { type: "button" }, "Try again");
  button.addEventListener("click", load);
  return button;
}

function show({ status = "", failure = null, running = null, report = false, empty = false }) {
  find("#status").textContent = status;
  find("#failure").hidden = !failure;
  if (failure) {
    find("#failure").replaceChildren(
      make("p", {}, make("strong", {}, "The report could not be loaded. "), failure.message),
      retryButton(),
    );
  }
  find("#running").hidden = running === null;
  if (running !== null)
    find("#running").replaceChildren(make("span", { class: "spinner", "aria-hidden": "true" }), running);
  find("#report").hidden = !report;
  find("#empty").hidden = !empty;
  find("#requests").hidden = empty;
}

function busy(on) {
  find("#report").setAttribute("aria-busy", String(on));
  find("#report").classList.toggle("stale", on && !find("#report").classList.contains("loading"));
}

/** The range in words, in the reader's time zone. */
function rangeText({ from, to, time_zone: zone }, times = clock(zone)) {
  return `${times.minute(from)} to ${times.minute(to)}, ${zone}`;
}

function showEmpty(range) {
  find("#status").textContent = `No requests · ${rangeText(range)}`;
  const filtered = activeFilters(state) > 0;
  const command =
    'curl -N "$URL/v1/generations" \\\n' +
    "  -H 'content-type: application/json' \\\n" +
    '  -d \'{"prompt": "Why stream?",\n       "schema": "blog_post"}\'';
  find("#empty").replaceChildren(
    make("h2", {}, filtered ? "No request matches these filters" : "No requests in this range"),
    ...(filtered
      ? [
          make(
            "p",
            {},
            "The ledger may hold others: ",
            narrow(withoutFilters(state), "show all requests of this range"),
            ".",
          ),
        ]
      : [
          make(
            "p",
            {},
            "Make the first one. ",
            make("code", {}, "make dev"),
            " prints the address, ",
            make("code", {}, "$URL"),
            "; on AWS it is the stack’s function URL, called with IAM credentials.",
          ),
          make("pre", { tabindex: 0, "aria-label": "A command that makes a request" }, command),
        ]),
    make(
      "p",
      { class: "hint" },
      "A request appears some seconds after it ends: its log lines travel through " +
        "CloudWatch Logs first.",
    ),
  );
}

function showReport(report) {
  const times = clock(report.range.time_zone);
  find("#report").classList.remove("loading");
  overview(report, toRequests);
  series(report, times, state, toRequests);
  breakdowns(report, narrow, state.tag);
  quality(report, times, toRequests);
  fillLists(report.breakdowns);
  find("#provenance").replaceChildren(
    make(
      "p",
      {},
      `Read with ${report.engine === "athena" ? "Athena" : "DuckDB"}` +
        (report.as_of ? `, from days compacted at ${times.minute(report.as_of)} or later. ` : ". ") +
        "Lambda at list prices of the first tier: an estimate from quantities, not the invoice.",
    ),
  );
  return `${plural(report.totals.requests, "request")} · ${rangeText(report.range, times)}`;
}

function fillLists(groups) {
  for (const [id, entries] of [
    ["#models", groups.model],
    ["#functions", groups.function],
    ["#tenants", groups.tenant],
  ]) {
    find(id).replaceChildren(...entries.map(({ name }) => make("option", { value: name })));
  }
}

/** The answer to an older question is dropped. */
function anew(part) {
  asked[part].abort(new DOMException("asked anew", "AbortError"));
  asked[part] = new AbortController();
  return asked[part].signal;
}

/** Show the totals and what they went to over time, where nothing is shown yet: they are there before the rest is. */
async function loadOverview(signal) {
  const later = () => {
    throw new Error("Athena's answer is the report's, too");
  };
  try {
    const found = await ask("api/overview", filterParameters(state, "by"), { signal, onRunning: later });
    if (signal.aborted || !found.totals.requests) return;
    headline(found, toRequests);
    series(found, clock(found.range.time_zone), state, toRequests);
  } catch {
    // The report that is asked for next says what is wrong.
  }
}

/** Ask for the report and show it; `meanwhile` is called as soon as nothing more is gained by waiting for it. */
async function loadReport(meanwhile = () => {}) {
  const signal = anew("report");
  show({ status: "Loading", report: true });
  busy(true);
  if (find("#report").classList.contains("loading")) await loadOverview(signal);
  try {
    const report = await ask("api/report", filterParameters(state, "by"), {
      signal,
      onRunning: (seconds) => {
        meanwhile();
        show({
          running: `Athena is reading the range, ${count(Math.round(seconds))} s so far. The answer appears here by itself.`,
          report: true,
        });
      },
    });
    // A range may hold nothing but what was found of an earlier month.
    const empty = report.totals.requests === 0 && !report.corrections.months.length;
    // Shown first: a chart takes its size from its place.
    show({ report: !empty, empty });
    if (empty) showEmpty(report.range);
    else {
      find("#status").textContent = showReport(report);
      corrections(report, clock(report.range.time_zone), state, signal);
      reloadStudies(state, narrow, toRequests, toLine);
    }
    // What came above has moved the requests away from whoever was led to them.
    if (document.activeElement === find("#requests")) find("#requests").scrollIntoView();
  } catch (error) {
    if (signal.aborted) return;
    markFields(error.errors ?? []);
    show({ failure: error });
  } finally {
    if (!signal.aborted) busy(false);
    meanwhile();
  }
}

function load() {
  fillForm(state);
  // One after the other: asked at once, two function environments would each fetch the same files.
  loadRows(state, anew("rows"), {
    toLine,
    turn: new Promise((meanwhile) => {
      loadReport(meanwhile);
    }),
  });
}

/** What the reader changed: asked anew; only what depends on it where that is less. */
const submit = (changes) => {
  change({ ...changes, line: "", cursor: "" });
  load();
};

change({}, false);
bindForm(() => state, submit);
bindSeries((by) => {
  change({ by });
  loadReport();
});
bindRows(
  () => state,
  (changes) => {
    change(changes);
    reloadRows();
  },
);
offerExports(() => state);
bindStudies(() => state, narrow, toRequests, toLine);
find("#line-by-line").addEventListener("click", (event) => {
  event.preventDefault(); // the hash would be a state of its own
  openStudy("explained");
});
addEventListener("popstate", (event) => {
  state = { ...readState(location.search), before: event.state?.before ?? [] };
  load();
});
load();
