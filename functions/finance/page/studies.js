// What is asked beyond the report, each in a panel that is read when it is opened: what latency costs, what if, two periods.
import { ask } from "./api.js";
import { comparison } from "./comparison.js";
import { explained } from "./explained.js";
import { find, make } from "./dom.js";
import { count } from "./format.js";
import { latencyCost } from "./latency_cost.js";
import { filterParameters } from "./state.js";
import { unpricedQueue } from "./unpriced.js";
import { suppositions, whatIf } from "./what_if.js";

/** What the comparison's form says, by the query's names. */
function compared() {
  const { tag, by, ...dates } = Object.fromEntries(new FormData(find("#comparison form")));
  const said = { ...dates, by: tag ? `tag:${tag}` : by };
  return Object.entries(said).filter(([, value]) => value);
}

const PANELS = {
  "latency-cost": { path: "api/latency", show: latencyCost, more: () => [] },
  "what-if": { path: "api/whatif", show: whatIf, more: suppositions },
  comparison: {
    path: "api/compare",
    show: comparison,
    more: compared,
  },
  unpriced: { path: "api/unpriced", show: unpricedQueue, more: () => [] },
  explained: { path: "api/charges", show: explained, more: () => [] },
};
const asked = new Map();

async function load(id, state, ...links) {
  asked.get(id)?.abort(new DOMException("asked anew", "AbortError"));
  const control = new AbortController();
  asked.set(id, control);
  const { path, show, more } = PANELS[id];
  const panel = find(`#${id}`);
  const body = find(".study-body", panel);
  const said = find(".study-status", panel);
  panel.setAttribute("aria-busy", "true");
  body.classList.add("stale");
  said.textContent = "Working it out";
  const query = filterParameters(state);
  for (const [name, value] of more()) query.set(name, value);
  try {
    const found = await ask(path, query, {
      signal: control.signal,
      onRunning: (seconds) => {
        said.textContent = `Athena is reading the range, ${count(Math.round(seconds))} s so far`;
      },
    });
    said.textContent = "";
    const [narrow, toRequests, toLine] = links;
    show(body, found, { narrow, toRequests, toLine, query });
  } catch (error) {
    if (control.signal.aborted) return;
    const again = make("button", { type: "button" }, "Try again");
    again.addEventListener("click", () => load(id, state, ...links));
    said.textContent = "";
    body.replaceChildren(
      make(
        "div",
        { class: "failure", role: "alert" },
        make("p", {}, make("strong", {}, "It could not be worked out. "), error.message),
        again,
      ),
    );
  } finally {
    if (!control.signal.aborted) {
      panel.setAttribute("aria-busy", "false");
      body.classList.remove("stale");
    }
  }
}

/** Listen; `state()` is what the report shows, `links` make links into it, and to its requests. */
export function bindStudies(state, ...links) {
  for (const id of Object.keys(PANELS)) {
    const panel = find(`#${id}`);
    panel.addEventListener("toggle", () => {
      if (panel.open) load(id, state(), ...links);
    });
    find("form", panel)?.addEventListener("submit", (event) => {
      event.preventDefault();
      load(id, state(), ...links);
    });
  }
}

/** Open a panel for whoever comes from elsewhere on the page, and let them go on there. */
export function openStudy(id) {
  find(`#${id}`).open = true;
  find(`#${id} > summary`).focus();
  find(`#${id}`).scrollIntoView();
}

/** Read the open panels anew: the report shows something else. */
export function reloadStudies(state, ...links) {
  for (const id of Object.keys(PANELS)) if (find(`#${id}`).open) load(id, state, ...links);
}
