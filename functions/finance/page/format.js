// How figures are written. Money is decimal text from the API to the eye: it becomes a number for drawing only.

export const UNKNOWN = "unknown";
const PLACES = 18; // more than the ledger's 15, so that sums here are exact

function scaled(text) {
  const negative = text.startsWith("-");
  const [whole, fraction = ""] = text.replace("-", "").split(".");
  const value = BigInt(whole + fraction.slice(0, PLACES).padEnd(PLACES, "0"));
  return negative ? -value : value;
}

/** The exact sum of decimal texts, leaving out unknown ones; null where none is known. */
export function sum(texts) {
  const known = texts.filter((text) => text !== null && text !== undefined);
  if (!known.length) return null;
  const total = known.reduce((so_far, text) => so_far + scaled(text), 0n);
  const digits = (total < 0n ? -total : total).toString().padStart(PLACES + 1, "0");
  return (total < 0n ? "-" : "") + digits.slice(0, -PLACES) + "." + digits.slice(-PLACES);
}

/** Decimal text rounded half-even to some places, without going through floating point. */
export function round(text, places) {
  const cut = 10n ** BigInt(PLACES - places);
  const value = scaled(text);
  const positive = value < 0n ? -value : value;
  const twice = (positive % cut) * 2n;
  let kept = positive / cut;
  if (twice > cut || (twice === cut && kept % 2n === 1n)) kept += 1n;
  const digits = kept.toString().padStart(places + 1, "0");
  const whole = digits.slice(0, digits.length - places).replace(/\B(?=(\d{3})+$)/g, ",");
  return (value < 0n && kept ? "−" : "") + whole + (places ? "." + digits.slice(-places) : "");
}

/** How many places a set of amounts that stand below each other is shown with. */
export function placesOf(texts) {
  const largest = Math.max(0, ...texts.filter(Boolean).map((text) => Math.abs(Number(text))));
  return largest >= 100 || largest === 0 ? 2 : largest >= 1 ? 4 : largest >= 0.001 ? 6 : 9;
}

/** Money for the eye; `places` where amounts have to line up. */
export function money(text, places = null) {
  if (text === null || text === undefined) return UNKNOWN;
  const size = Math.abs(Number(text));
  if (size === 0) return "$0";
  const wanted = places ?? (size >= 1 ? 2 : size >= 0.01 ? 4 : size >= 0.0001 ? 6 : 9);
  const written = round(text, wanted);
  // Too little for these places is not nothing.
  if (!/[1-9]/.test(written))
    return `${text.startsWith("-") ? ">−" : "<"}$${(10 ** -wanted).toFixed(wanted)}`;
  return ("$" + written).replace("$−", "−$");
}

export const exact = (text) => (text === null || text === undefined ? null : `$${text}`);

/** A quantity for the eye; more digits than a reader needs are left out. */
export const quantity = (text) =>
  text === null ? "not in the rows" : Number(text).toLocaleString("en-GB", { maximumSignificantDigits: 9 });

/** What a line of charges counts. */
export const unit = (line) => line.unit?.replace("1000000", "million") ?? "";

export function count(value) {
  return value === null || value === undefined ? UNKNOWN : value.toLocaleString("en-GB");
}

/** Per cent of what is already a per cent. */
export function percent(value, places = 1) {
  return value === null || value === undefined
    ? UNKNOWN
    : `${Number(value).toFixed(places).replace("-", "−")} %`;
}

/** A duration in milliseconds in the unit that reads best. */
export function milliseconds(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 1000) return `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(value / 60_000)} min ${Math.round((value % 60_000) / 1000)} s`;
}

export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const units = ["B", "kB", "MB", "GB"];
  let at = 0;
  for (; value >= 1000 && at < units.length - 1; at++) value /= 1000;
  return `${at ? value.toFixed(1) : value} ${units[at]}`;
}

/** A name of the API as words: `lambda_streamed_bytes` is "Lambda streamed bytes". */
export function words(name) {
  const text = name
    .replaceAll("_", " ")
    .replace(/^ok$/, "OK")
    .replace(/^gb s$/, "GB-seconds")
    .replace(/^api gateway$/, "API Gateway");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** An amount for an axis, where a number is good enough, with as many places as the axis's other `ticks` need. */
export function axisMoney(value, _, ticks = [{ value }]) {
  const places = Math.max(
    ...ticks.map((tick) => {
      const fraction = Number(Number(tick.value).toPrecision(3))
        .toLocaleString("en-GB", { maximumFractionDigits: 12 })
        .split(".")[1];
      return fraction?.length ?? 0;
    }),
  );
  return (
    "$" +
    Number(value).toLocaleString("en-GB", { minimumFractionDigits: places, maximumFractionDigits: places })
  );
}

/** Reasons and how many rows have them, in words; a missing price is one reason, whatever the day. */
export function reasons(counted) {
  const found = new Map();
  for (const [reason, rows] of counted) {
    const price = /^no_price:([^:]+):(.*):\d{4}-\d{2}-\d{2}$/.exec(reason);
    const text = price
      ? `no price for ${price[1].replaceAll("_", " ")} of ${price[2]}`
      : reason.replaceAll("_", " ");
    found.set(text, (found.get(text) ?? 0) + rows);
  }
  return new Map([...found].sort(([, a], [, b]) => b - a));
}

export const plural = (amount, one, many = `${one}s`) => `${count(amount)} ${amount === 1 ? one : many}`;

/** Instants written in the reader's time zone; an unknown zone is the API's to refuse, here it is UTC. */
export function clock(zone) {
  const writer = (options) => {
    try {
      return new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options });
    } catch {
      return new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
    }
  };
  const day = writer({ day: "numeric", month: "short" });
  const longDay = writer({ day: "numeric", month: "short", year: "numeric" });
  const hour = writer({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const minute = writer({
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
  });
  const moment = writer({
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
  const second = writer({
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
  const only = writer({ hour: "2-digit", minute: "2-digit" });
  const of = (format) => (instant) => (instant ? format.format(new Date(instant)) : UNKNOWN);
  return {
    day: of(day),
    longDay: of(longDay),
    hour: of(hour),
    minute: of(minute),
    second: of(second),
    moment: of(moment),
    clock: of(only),
  };
}
