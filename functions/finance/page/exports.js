// Exports: started, asked after, and offered as links when they are there.
import { exportFile } from "./api.js";
import { find, make } from "./dom.js";
import { bytes } from "./format.js";
import { filterParameters } from "./state.js";

/** The API's body for a state: its filters by their names, tags as a list. */
function request(format, state) {
  const query = filterParameters(state);
  const body = { format };
  for (const name of new Set(query.keys()))
    body[name] = name === "tag" ? query.getAll(name) : query.get(name);
  return body;
}

function files(listed) {
  return listed.map(({ name, bytes: size, url }) =>
    make("span", {}, make("a", { href: url, download: name }, name), ` (${bytes(size)}) `),
  );
}

async function start(state) {
  const choice = find("#export-format");
  const name = choice.selectedOptions[0].textContent;
  const line = make("li", {}, `${name}: starting`);
  find("#export-jobs").prepend(line);
  find("#export-start").disabled = true;
  try {
    await exportFile("", request(choice.value, state), (job) => {
      find("#export-start").disabled = false;
      if (job.status === "done") line.replaceChildren(`${name}: `, ...files(job.files));
      else if (job.status === "failed")
        line.replaceChildren(make("span", { class: "not-ok" }, `${name} failed: ${job.error}`));
      else
        line.replaceChildren(
          make("span", { class: "spinner", "aria-hidden": "true" }),
          `${name}: being written`,
        );
    });
  } catch (error) {
    line.replaceChildren(make("span", { class: "not-ok" }, `${name} failed: ${error.message}`));
  } finally {
    find("#export-start").disabled = false;
  }
}

/** Listen to the button; `state()` is what the reader sees. */
export function offerExports(state) {
  find("#export-start").addEventListener("click", () => start(state()));
}
