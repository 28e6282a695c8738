// Vercel's AI SDK: objects and text, whole and streamed, by its OpenAI-compatible and by its OpenAI provider.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, streamObject, streamText } from "ai";
import { z } from "zod";
import { baseURL, caught, key, model, onceInvalid, poorKey, prompt, report, wrongKey } from "./asked.mjs";

const schema = z.object({ title: z.string(), minutes: z.number().int(), steps: z.array(z.string()) });
const compatible = (apiKey) =>
  createOpenAICompatible({ name: "weir", baseURL, apiKey, supportsStructuredOutputs: true, includeUsage: true });
const ours = compatible(key);
const openai = createOpenAI({ baseURL, apiKey: key });

const whole = async (made, name) => (await generateObject({ model: made, schema, prompt: prompt(name) })).object;

async function streamed(name, provider) {
  const { object, partialObjectStream } = streamObject({ model: provider(name), schema, prompt: prompt(name) });
  for await (const _ of partialObjectStream);
  return await object;
}

async function inChunks() {
  let text = "";
  for await (const part of streamText({ model: ours(model), prompt: prompt("text") }).textStream) text += part;
  return text;
}

const text = (provider, members = {}) =>
  generateText({ model: provider(members.model ?? model), prompt: prompt("text"), ...members.more });

report({
  version: "ai",
  whole: await whole(ours(model), "whole"),
  whole_by_openai: await whole(openai.chat(model), "whole by openai"),
  streamed: await streamed(model, ours),
  streamed_by_openai: await streamed(model, (name) => openai.chat(name)),
  retried: await streamed(onceInvalid, ours),
  text: [await inChunks(), (await text(ours)).text],
  unauthorized: await caught(() => text(compatible(wrongKey))),
  wrong: await caught(() => text(ours, { more: { temperature: 3 } })),
  not_known: await caught(() => text(ours, { model: "nobody" })),
  denied: await caught(() => text(compatible(poorKey))),
});
