// Asking the finance API: errors become one sentence, and 202 is asked again until the answer is there.

/** Why a request failed; `errors` are [{pointer, detail}] where the API named places. */
export class ApiError extends Error {
  constructor(message, errors = []) {
    super(message);
    this.errors = errors;
  }
}

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });

async function fetched(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError("The server did not answer. Is it still running?");
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok && body !== null)
    return { status: answer.status, body, retryAfter: answer.headers.get("retry-after") };
  throw new ApiError(
    body?.detail || `The server answered ${answer.status} without saying why.`,
    body?.errors ?? [],
  );
}

/** The answer to a GET. While the query engine works, `onRunning(seconds since asked)` is told and it is asked again. */
export async function ask(path, query, { signal, onRunning } = {}) {
  const began = Date.now();
  for (;;) {
    const { status, body, retryAfter } = await fetched(`${path}?${query}`, {
      signal,
      headers: { accept: "application/json" },
    });
    if (status !== 202) return body;
    onRunning?.((Date.now() - began) / 1000);
    await pause(Number(retryAfter ?? body.retry_after_s) || 2, signal);
  }
}

/** Start an export, and tell `onStatus` of every state until it is done or has failed. */
export async function exportFile(base, request, onStatus) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  let { body: job } = await fetched(`${base}api/exports`, {
    method: "POST",
    headers,
    body: JSON.stringify(request),
  });
  for (let wait = 1; job.status === "running"; wait = Math.min(wait * 1.5, 10)) {
    onStatus(job);
    await pause(wait);
    ({ body: job } = await fetched(`${base}api/exports/${encodeURIComponent(job.id)}`, { headers }));
  }
  onStatus(job);
}
