// What the reader asked for, kept in the URL by the API's own names, so that a link shows the same again.
// `to` is not included, as in the API; the form shows the last day that is.

const FILTERS = ["outcome", "model", "served_model", "function", "tenant"];
const NAMES = ["from", "to", "tz", "by", "sort", "cursor", "line", ...FILTERS];
const DAY = /^\d{4}-\d{2}-\d{2}$/;

export const isDay = (text) => DAY.test(text ?? "");

export function addDays(day, days) {
  return new Date(Date.parse(day) + days * 86_400_000).toISOString().slice(0, 10);
}

/** Today's date in a time zone. */
export function today(zone) {
  try {
    return new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(new Date());
  } catch {
    return new Date().toISOString().slice(0, 10);
  }
}

export const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** Ranges by name, as [from, to) in a time zone. */
export const RANGES = {
  "24 hours": () => {
    const hour = 3_600_000;
    const end = Math.ceil(Date.now() / hour) * hour;
    return [end - 24 * hour, end].map((at) => new Date(at).toISOString().replace(".000Z", "Z"));
  },
  "7 days": (zone) => [addDays(today(zone), -6), addDays(today(zone), 1)],
  "30 days": (zone) => [addDays(today(zone), -29), addDays(today(zone), 1)],
  "This month": (zone) => [`${today(zone).slice(0, 8)}01`, addDays(today(zone), 1)],
  "Last month": (zone) => {
    const first = `${today(zone).slice(0, 8)}01`;
    return [`${addDays(first, -1).slice(0, 8)}01`, first];
  },
};

/** The state of a query string; what it leaves out is the last seven days in the browser's time zone. */
export function readState(search) {
  const given = new URLSearchParams(search);
  const state = {
    by: "component",
    sort: "newest",
    tz: browserZone(),
    tag: given.getAll("tag").filter(Boolean),
  };
  for (const name of NAMES) if (given.get(name)) state[name] = given.get(name);
  if (!state.from && !state.to) [state.from, state.to] = RANGES["7 days"](state.tz);
  return state;
}

/** A query of the API's as changes to a state: what it does not filter by is not filtered. */
export function stateOf(query) {
  const { by, ...said } = readState(query);
  return { ...withoutFilters({}), ...said };
}

/** Query parameters of a state: all of them, or those that the API's filters know, with others added. */
export function parameters(state, names = NAMES) {
  const wanted = new URLSearchParams();
  for (const name of names) if (state[name]) wanted.set(name, state[name]);
  for (const tag of state.tag) wanted.append("tag", tag);
  return wanted;
}

export const filterParameters = (state, ...more) =>
  parameters(state, ["from", "to", "tz", ...FILTERS, ...more]);
export const activeFilters = (state) => FILTERS.filter((name) => state[name]).length + state.tag.length;
export const withoutFilters = (state) => ({
  ...state,
  ...Object.fromEntries(FILTERS.map((name) => [name, ""])),
  tag: [],
  cursor: "",
});
