// forwarding_app for Node's runtime: the body says how many chunks, and the pause in seconds before each.
// A chunk is the monotonic clock in nanoseconds at the moment of `write`, and padding up to 200 bytes.
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";

const PADDING = "x".repeat(180);

export const handler = awslambda.streamifyResponse(async (event, responseStream) => {
  const [count, pause_s] = event.body.split(" ").map(Number);
  const stream = awslambda.HttpResponseStream.from(responseStream, { statusCode: 200, headers: {} });
  for (let number = 0; number < count; number++) {
    if (pause_s) await setTimeout(pause_s * 1000);
    const now_ns = process.hrtime.bigint().toString().padStart(20, "0");
    if (!stream.write(Buffer.from(now_ns + PADDING))) await once(stream, "drain");
  }
  stream.end();
  await once(stream, "finish");
});
