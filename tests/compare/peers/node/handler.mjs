// Node's streamifyResponse: text as it comes, the document validated when it is whole.
// The check is written out by hand: a library for it would take more.
import { once } from "node:events";

const isText = (value) => typeof value === "string" && value.length > 0;
const isTexts = (value) => Array.isArray(value) && value.every(isText);
const isSection = (value) => isText(value?.heading) && isText(value.content) && isTexts(value.keywords);
const isPost = (value) =>
  isText(value?.title) && /^[a-z0-9]+(-[a-z0-9]+)*$/.test(value.slug) && isText(value.summary) && isTexts(value.tags) &&
  isText(value.author?.name) && Array.isArray(value.sections) && value.sections.every(isSection) &&
  isText(value.conclusion) && isTexts(value.references);

export const handler = awslambda.streamifyResponse(async (event, responseStream) => {
  const { prompt, model } = JSON.parse(event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body);
  const response = await fetch(`${process.env.COMPARE_UPSTREAM}/chat/completions`, {
    method: "POST",
    headers: { authorization: "Bearer x", "content-type": "application/json" },
    body: JSON.stringify({
      model,
      messages: [{ role: "user", content: prompt }],
      response_format: JSON.parse(process.env.COMPARE_RESPONSE_FORMAT),
      stream: true,
      stream_options: { include_usage: true },
    }),
  });
  const stream = awslambda.HttpResponseStream.from(responseStream, {
    statusCode: response.status,
    headers: { "content-type": "text/event-stream" },
  });
  const send = async (kind, data) => {
    if (!stream.write(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`)) await once(stream, "drain");
  };
  const decoder = new TextDecoder();
  let rest = "";
  let text = "";
  for await (const chunk of response.body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
      const piece = JSON.parse(line.slice(6)).choices[0]?.delta.content;
      if (!piece) continue;
      text += piece;
      await send("delta", { text: piece });
    }
  }
  const post = JSON.parse(text);
  await (isPost(post) ? send("done", post) : send("error", { detail: "the document does not fit its schema" }));
  stream.end();
  await once(stream, "finish");
});
