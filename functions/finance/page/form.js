// The form over the report: range, time zone and filters.
import { find, make } from "./dom.js";
import { activeFilters, addDays, browserZone, isDay, RANGES, withoutFilters } from "./state.js";

const OUTCOMES = [
  "ok",
  "invalid_output",
  "incomplete_stream",
  "truncated_output",
  "refused",
  "filtered",
  "upstream_error",
  "upstream_timeout",
  "rate_limited",
  "client_disconnected",
  "stopped",
  "deadline",
  "budget_exceeded",
  "bad_request",
  "unauthorized",
  "killed",
  "internal_error",
  "unknown",
];
const form = find("#filters");
const field = (name) => form.elements.namedItem(name);

function zones() {
  const known = Intl.supportedValuesOf("timeZone");
  const first = [...new Set([browserZone(), "UTC"])];
  const option = (name) => make("option", { value: name }, name.replaceAll("_", " "));
  const regions = Map.groupBy(
    known.filter((name) => !first.includes(name)),
    (name) => name.split("/")[0],
  );
  return [
    ...first.map(option),
    ...[...regions].map(([region, names]) => make("optgroup", { label: region }, ...names.map(option))),
  ];
}

/** What the form says, as changes to `state`; an empty date keeps an instant that the URL brought. */
function read(state) {
  const changes = {
    tag: field("tag")
      .value.split(/[\s,]+/)
      .filter(Boolean),
  };
  for (const name of ["tz", "outcome", "model", "served_model", "function", "tenant"])
    changes[name] = field(name).value.trim();
  changes.from = field("from").value || (isDay(state.from) ? "" : state.from);
  changes.to = field("to").value ? addDays(field("to").value, 1) : isDay(state.to) ? "" : state.to;
  return changes;
}

/** Show a state in the form. */
export function fillForm(state) {
  markFields([]);
  for (const name of ["outcome", "model", "served_model", "function", "tenant"]) field(name).value = state[name] ?? "";
  field("tag").value = state.tag.join(" ");
  field("from").value = isDay(state.from) ? state.from : "";
  field("to").value = isDay(state.to) ? addDays(state.to, -1) : "";
  if (![...field("tz").options].some((option) => option.value === state.tz)) {
    field("tz").prepend(make("option", { value: state.tz }, state.tz));
  }
  field("tz").value = state.tz;
  for (const button of form.querySelectorAll(".presets button")) {
    const [from, to] = RANGES[button.textContent](state.tz);
    button.setAttribute("aria-pressed", String(from === state.from && to === state.to));
  }
  const active = activeFilters(state);
  find("#filter-count").textContent = active ? ` (${active})` : "";
  if (active) find("#more-filters").open = true;
}

/** Mark the fields that the API refused. */
export function markFields(refused) {
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  for (const { pointer } of refused)
    field(pointer.split("/")[1])?.setAttribute?.("aria-invalid", "true");
}

/** Listen: `submit(changes)` is called with what the reader asks for. */
export function bindForm(state, submit) {
  field("outcome").append(
    ...OUTCOMES.map((name) => make("option", { value: name }, name.replaceAll("_", " "))),
  );
  field("tz").append(...zones());
  find(".presets", form).append(
    ...Object.keys(RANGES).map((name) => {
      const button = make("button", { type: "button", "aria-pressed": "false" }, name);
      button.addEventListener("click", () => {
        const changes = read(state());
        [changes.from, changes.to] = RANGES[name](changes.tz);
        submit(changes);
      });
      return button;
    }),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(read(state()));
  });
  find("#clear").addEventListener("click", () => submit(withoutFilters(state())));
}
