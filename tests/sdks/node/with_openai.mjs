// openai-node: create, parse and stream, by schema and by function.
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { VERSION } from "openai/version";
import { z } from "zod";
import { baseURL, caught, cut, key, model, onceInvalid, poorKey, prompt, refusing, report, wrongKey } from "./asked.mjs";

const Recipe = z.object({ title: z.string(), minutes: z.number().int(), steps: z.array(z.string()) });
const client = new OpenAI({ baseURL, apiKey: key });
const ask = (name) => [{ role: "user", content: prompt(name) }];
const response_format = zodResponseFormat(Recipe, "recipe");

async function whole() {
  const done = await client.chat.completions.parse({ model, messages: ask("whole"), response_format });
  return done.choices[0].message.parsed;
}

async function streamed(model) {
  let seen = "";
  const stream = client.chat.completions.stream({ model, messages: ask(model), response_format });
  stream.on("content.delta", ({ delta }) => (seen += delta));
  const final = await stream.finalChatCompletion();
  if (seen !== final.choices[0].message.content) throw new Error("the pieces are not the whole");
  return final.choices[0].message.parsed;
}

async function tool() {
  const tools = [zodFunction({ name: "save", parameters: Recipe })];
  const stream = client.chat.completions.stream({ model, messages: ask("tool"), tools, tool_choice: "required" });
  const final = await stream.finalChatCompletion();
  return final.choices[0].message.tool_calls[0].function.parsed_arguments;
}

async function inChunks() {
  let text = "";
  for await (const chunk of await client.chat.completions.create({ model, messages: ask("text"), stream: true }))
    text += chunk.choices[0]?.delta.content ?? "";
  return text;
}

const create = (apiKey, members = {}) =>
  new OpenAI({ baseURL, apiKey }).chat.completions.create({ model, messages: ask("text"), ...members });

const respond = (apiKey, name, members = {}) =>
  new OpenAI({ baseURL, apiKey }).responses.create({ model, input: prompt(`${name} response`), ...members });
const text = { format: zodTextFormat(Recipe, "recipe") };

async function parsed() {
  const done = await client.responses.parse({ model, input: prompt("whole response"), text });
  return done.output_parsed;
}

async function inEvents(model) {
  let seen = "";
  const stream = client.responses.stream({ model, input: prompt(`${model} response`), text });
  stream.on("response.output_text.delta", ({ delta }) => (seen += delta));
  const final = await stream.finalResponse();
  if (seen !== final.output_text) throw new Error("the pieces are not the whole");
  return final.output_parsed;
}

async function called() {
  const tools = [zodResponsesFunction({ name: "save", parameters: Recipe })];
  const stream = client.responses.stream({ model, input: prompt("tool response"), tools, tool_choice: "required" });
  return (await stream.finalResponse()).output[0].parsed_arguments;
}

async function textInEvents() {
  let text = "";
  for await (const event of await respond(key, "text", { stream: true }))
    text += event.type === "response.output_text.delta" ? event.delta : "";
  return text;
}

const models = [];
for await (const each of client.models.list()) models.push(each.id);
report({
  version: VERSION,
  models,
  whole: await whole(),
  streamed: await streamed(model),
  retried: await streamed(onceInvalid),
  tool: await tool(),
  text: [await inChunks(), (await create(key)).choices[0].message.content],
  unauthorized: await caught(() => create(wrongKey)),
  wrong: await caught(() => create(key, { n: 2 })),
  not_known: await caught(() => create(key, { model: "nobody" })),
  denied: await caught(() => create(poorKey)),
  responses: {
    whole: await parsed(),
    streamed: await inEvents(model),
    retried: await inEvents(onceInvalid),
    tool: await called(),
    text: [await textInEvents(), (await respond(key, "text")).output_text],
    refused: (await respond(key, "refused", { model: refusing })).output[0].content[0].type,
    cut: (await respond(key, "cut", { model: cut })).incomplete_details.reason,
    unauthorized: await caught(() => respond(wrongKey, "refused")),
    wrong: await caught(() => respond(key, "refused", { truncation: "auto" })),
    denied: await caught(() => respond(poorKey, "refused")),
  },
});
