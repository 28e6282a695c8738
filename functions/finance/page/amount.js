// An amount of money as an element: short for the eye, exact in its title, and marked where it may be more.
import { make } from "./dom.js";
import { exact, money } from "./format.js";

/** `lower`: at least so much, since something in it is not priced in full. */
export function amount(text, { places = null, lower = false } = {}) {
  const known = text !== null && text !== undefined;
  return make(
    "span",
    { title: known ? (lower ? `at least ${exact(text)}` : exact(text)) : null },
    lower && known ? make("small", { class: "at-least" }, "≥\u00a0") : null,
    money(text, places),
  );
}
