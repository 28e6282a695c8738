// Making elements. Text is always set as text, so nothing that a model or a caller wrote becomes markup.

export const find = (selector, within = document) => within.querySelector(selector);

/** An element with attributes and children; null and false leave an attribute out, true sets it empty. */
export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false && value !== undefined)
      made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// A box that scrolls can be reached by Tab, so that arrow keys scroll it; one that has no need to is no stop.
const boxes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight)
      target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

/** A table in a box that scrolls sideways by itself. `columns`: [{name, number}]; `rows`: cells. */
export function table(label, columns, rows) {
  const kind = (at) => (columns[at].number ? "number" : null);
  const box = make(
    "div",
    { class: "scroll", role: "group", "aria-label": label },
    make(
      "table",
      {},
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          ...columns.map(({ name }, at) =>
            make(name ? "th" : "td", { scope: name ? "col" : null, class: kind(at) }, name),
          ),
        ),
      ), // bars have no heading
      make(
        "tbody",
        {},
        ...rows.map((cells) =>
          make(
            "tr",
            {},
            ...cells.map((cell, at) =>
              make(
                at ? "td" : "th",
                { scope: at ? null : "row", class: kind(at), "data-label": columns[at].name },
                cell,
              ),
            ),
          ),
        ),
      ),
    ),
  );
  boxes.observe(box);
  return box;
}

/** Pairs of a term and its value. An entry is [term, value, {title, note, class}]. */
export function pairs(entries) {
  return entries.map(([term, value, { title = null, note = null, ...rest } = {}]) =>
    make(
      "div",
      rest,
      make("dt", {}, term),
      make("dd", { title }, value, note && make("span", { class: "note" }, note)),
    ),
  );
}

/** A bar of a share, 0 to 1, of its cell; the figure stands beside it as text. */
export function bar(share, kind = "") {
  const filled = make("span", { class: `fill ${kind}` });
  filled.style.setProperty("inline-size", `${Math.max(0, Math.min(1, share || 0)) * 100}%`);
  return make("span", { class: "bar", "aria-hidden": "true" }, filled);
}
