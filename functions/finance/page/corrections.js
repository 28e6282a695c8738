// What came after a month was closed: it is booked on the day it was found, so it is shown with before and after.
import { amount } from "./amount.js";
import { ask } from "./api.js";
import { find, make, table } from "./dom.js";
import { money, placesOf, plural } from "./format.js";
import { addDays, filterParameters } from "./state.js";

const LIMIT = 20;

function address({ request_id: id, corrects_at: at }, state) {
  const day = at?.slice(0, 10);
  const query = new URLSearchParams(day ? { from: day, to: addDays(day, 1), tz: state.tz } : { tz: state.tz });
  return `requests/${encodeURIComponent(id)}?${query}`;
}

function sentence({ month, requests, total, is_later: later, is_lower_bound: lower }) {
  const sum = `${lower ? "at least " : ""}${money(total)}`;
  return later
    ? `${plural(requests, "request")} of this range, closed with ${month}, came to ${sum} more later: it is in the ` +
        "range in which it was found, not in this one."
    : `${plural(requests, "request")} of ${month}, which is closed, came to ${sum} more: it is in the totals above, ` +
        "and in no count of requests.";
}

/** Show the corrections of the report's range, or nothing where there are none. */
export async function corrections(report, times, state, signal) {
  const panel = find("#corrections");
  const { months } = report.corrections;
  panel.hidden = !months.length;
  if (!months.length) return;
  find("#corrections-said").replaceChildren(...months.map((month) => make("li", {}, sentence(month))));
  const list = find("#corrections-list");
  list.replaceChildren();
  try {
    const query = filterParameters(state);
    query.set("limit", LIMIT);
    const { corrections: rows, has_more: more } = await ask("api/corrections", query, { signal });
    const places = placesOf(rows.map(({ after }) => after));
    list.replaceChildren(
      table(
        "Corrections",
        [
          { name: "Request" },
          { name: "Of" },
          { name: "Found" },
          { name: "Before", number: true },
          { name: "Difference", number: true },
          { name: "After", number: true },
        ],
        rows.map((row) => [
          make("a", { href: address(row, state), class: "id", title: row.request_id }, row.request_id.slice(0, 8)),
          times.minute(row.corrects_at),
          times.minute(row.found_at),
          amount(row.before, { places }),
          amount(row.difference, { places, lower: row.is_lower_bound }),
          amount(row.after, { places, lower: row.is_lower_bound }),
        ]),
      ),
      more ? make("p", { class: "hint" }, `The ${LIMIT} that changed most; an export has all.`) : "",
    );
    list.firstChild.classList.add("cards"); // six columns do not fit a phone
  } catch (error) {
    if (!signal?.aborted)
      list.replaceChildren(make("p", { class: "not-ok" }, `They cannot be listed: ${error.message}`));
  }
}
