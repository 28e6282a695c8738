// Vercel's AI SDK: objects, text and calls, whole and streamed, by its OpenAI-compatible and by its OpenAI provider, which
// asks for responses unless it is told to chat.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, streamObject, streamText, tool } from "ai";
import { z } from "zod";
import { baseURL, caught, cut, key, model, onceInvalid, poorKey, prompt, report, wrongKey } from "./asked.mjs";

const schema = z.object({ title: z.string(), minutes: z.number().int(), steps: z.array(z.string()) });
const compatible = (apiKey) =>
  createOpenAICompatible({ name: "weir", baseURL, apiKey, supportsStructuredOutputs: true, includeUsage: true });
const ours = compatible(key);
const openai = createOpenAI({ baseURL, apiKey: key });

const whole = async (made, name) => (await generateObject({ model: made, schema, prompt: prompt(name) })).object;

async function streamed(name, provider, suffix = "") {
  const asked = { model: provider(name), schema, prompt: prompt(name + suffix) };
  const { object, partialObjectStream } = streamObject(asked);
  for await (const _ of partialObjectStream);
  return await object;
}

async function inChunks(provider) {
  let text = "";
  for await (const part of streamText({ model: provider(model), prompt: prompt("text") }).textStream) text += part;
  return text;
}

const text = (provider, members = {}) =>
  generateText({ model: provider(members.model ?? model), prompt: prompt("text"), ...members.more });

async function called(provider) {
  const tools = { save: tool({ inputSchema: schema }) };
  const asked = { model: provider(model), prompt: prompt("tool"), tools, toolChoice: "required" };
  return (await streamText(asked).toolCalls)[0].input;
}

report({
  version: "ai",
  whole: await whole(ours(model), "whole"),
  whole_by_openai: await whole(openai.chat(model), "whole by openai"),
  streamed: await streamed(model, ours),
  streamed_by_openai: await streamed(model, (name) => openai.chat(name)),
  retried: await streamed(onceInvalid, ours),
  text: [await inChunks(ours), (await text(ours)).text],
  unauthorized: await caught(() => text(compatible(wrongKey))),
  wrong: await caught(() => text(ours, { more: { temperature: 3 } })),
  not_known: await caught(() => text(ours, { model: "nobody" })),
  denied: await caught(() => text(compatible(poorKey))),
  responses: {
    whole: await whole(openai(model), "whole response"),
    streamed: await streamed(model, openai, " response"),
    retried: await streamed(onceInvalid, openai, " response"),
    tool: await called(openai),
    text: [await inChunks(openai), (await text(openai)).text],
    cut: (await text(openai, { model: cut })).rawFinishReason,
    unauthorized: await caught(() => text(createOpenAI({ baseURL, apiKey: wrongKey }))),
    wrong: await caught(() => text(openai, { more: { temperature: 3 } })),
    denied: await caught(() => text(createOpenAI({ baseURL, apiKey: poorKey }))),
  },
});
