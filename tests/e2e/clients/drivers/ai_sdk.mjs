// Vercel's AI SDK: leads its providers through every scenario and prints what came of it as JSON.
//
// Usage: `node ai_sdk.mjs URL KEY`, with node_modules beside it.

import { readFileSync } from "node:fs";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

const PACKAGES = ["ai", "@ai-sdk/openai", "@ai-sdk/anthropic", "@ai-sdk/openai-compatible"];
const QUESTION = "How is the weather?";
const Report = z.object({ city: z.string(), degrees: z.number().int(), sky: z.array(z.string()) });
const get_weather = tool({
  description: "The weather in a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});

const [url, key] = process.argv.slice(2);

/** How each provider package gets a model of the gateway. */
const WAYS = {
  AISDKOpenAICompatible: (apiKey, model) =>
    createOpenAICompatible({
      name: "trunkline",
      baseURL: `${url}/v1`,
      apiKey,
      includeUsage: true,
      supportsStructuredOutputs: true,
    }).chatModel(model),
  AISDKOpenAIChat: (apiKey, model) => createOpenAI({ baseURL: `${url}/v1`, apiKey }).chat(model),
  AISDKOpenAIResponses: (apiKey, model) => createOpenAI({ baseURL: `${url}/v1`, apiKey })(model),
  AISDKAnthropic: (apiKey, model) => createAnthropic({ baseURL: `${url}/v1`, apiKey })(model),
};

const counts = (usage) => [usage.inputTokens, usage.outputTokens];

const SCENARIOS = {
  async chat(model) {
    const { text, usage } = await generateText({ model, prompt: QUESTION, maxRetries: 0 });
    return { text, usage: counts(usage) };
  },
  async stream(model) {
    let failure;
    const onError = ({ error }) => (failure = error);
    const result = streamText({ model, prompt: QUESTION, maxRetries: 0, onError });
    const pieces = [];
    for await (const piece of result.textStream) pieces.push(piece);
    if (failure) throw failure;
    return { text: pieces.join(""), pieces: pieces.length, usage: counts(await result.usage) };
  },
  async tools(model) {
    const result = streamText({ model, prompt: QUESTION, tools: { get_weather }, stopWhen: isStepCount(4), maxRetries: 0 });
    const steps = await result.steps;
    const calls = steps.flatMap((step) => step.toolCalls.map((call) => call.toolName));
    return { text: await result.text, calls };
  },
  async structured(model) {
    const { output } = await generateText({
      model,
      prompt: QUESTION,
      output: Output.object({ schema: Report }),
      maxRetries: 0,
    });
    return output;
  },
};

/** What the scenario gives, or where it failed. */
async function said(scenario) {
  try {
    return await scenario();
  } catch (error) {
    return `${error.stack}\n${JSON.stringify(error)}`;
  }
}

/** What the scenario throws. */
async function raised(scenario) {
  try {
    return { "nothing raised": await scenario() };
  } catch (error) {
    return { kinds: [error.name ?? typeof error], status: error.statusCode ?? null, text: String(error.message ?? error) };
  }
}

/** All scenarios of one way to ask. */
async function report(way) {
  const told = {};
  for (const model of ["gpt", "claude"]) {
    for (const [name, scenario] of Object.entries(SCENARIOS)) {
      told[`${model} ${name}`] = await said(() => scenario(way(key, model)));
    }
  }
  told.stranger = await raised(() => SCENARIOS.chat(way("nobody", "gpt")));
  told.busy = await raised(() => SCENARIOS.chat(way(key, "busy")));
  told.breaking = await raised(() => SCENARIOS.stream(way(key, "breaking")));
  return told;
}

const packageFile = (name) => new URL(`node_modules/${name}/package.json`, import.meta.url);
const versions = Object.fromEntries(PACKAGES.map((name) => [name, JSON.parse(readFileSync(packageFile(name))).version]));
const ways = {};
for (const [name, way] of Object.entries(WAYS)) ways[name] = await report(way);
console.log(JSON.stringify({ versions, ways }));
