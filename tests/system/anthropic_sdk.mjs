// What Anthropic's official Node SDK makes of our answers, as JSON on stdout: one member for each thing that was tried.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.env.BASE_URL, apiKey: "sk-any", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello?" }];
const asked = { model: "parrot", max_tokens: 64, messages };

async function failure(attempt) {
  try {
    await attempt();
    return { name: "none" };
  } catch (error) {
    const { status, type, requestID } = error;
    return { name: error.constructor.name, status, type: type ?? error.error?.error?.type, requestID };
  }
}

async function whole() {
  const { data, request_id } = await client.messages.create(asked).withResponse();
  return { text: data.content[0].text, reason: data.stop_reason, usage: data.usage, request_id };
}

async function stream() {
  const texts = [];
  const helper = client.messages.stream(asked).on("text", (text) => texts.push(text));
  const final = await helper.finalMessage();
  return { text: texts.join(""), pieces: texts.length, final: final.content[0].text, reason: final.stop_reason, usage: final.usage };
}

async function events() {
  const types = [];
  for await (const event of await client.messages.create({ ...asked, stream: true })) types.push(event.type);
  return types;
}

const names = [];
for await (const model of client.models.list({ limit: 1 })) names.push(model.id);

console.log(
  JSON.stringify({
    models: names,
    whole: await whole(),
    stream: await stream(),
    events: await events(),
    count: (await client.messages.countTokens({ model: "parrot", messages })).input_tokens,
    unknownModel: await failure(() => client.messages.create({ ...asked, model: "nobody" })),
    badBody: await failure(() => client.messages.create({ ...asked, messages: "not a list" })),
    wrongKey: await failure(() => client.withOptions({ apiKey: "uc_wrong" }).messages.create(asked)),
    unreachable: await failure(() => client.messages.create({ ...asked, model: "broken" })),
  }),
);
