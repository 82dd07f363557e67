// What the official Node SDK makes of our answers, as JSON on stdout: one member for each thing that was tried.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "sk-any", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello?" }];

async function failure(attempt) {
  try {
    await attempt;
    return { name: "none" };
  } catch (error) {
    const { status, code, type, requestID } = error;
    return { name: error.constructor.name, status, code, type, requestID };
  }
}

async function chat() {
  const { data, request_id } = await client.chat.completions.create({ model: "parrot", messages }).withResponse();
  return { text: data.choices[0].message.content, finish: data.choices[0].finish_reason, usage: data.usage, request_id };
}

async function stream() {
  const chunks = [];
  const options = { stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await client.chat.completions.create({ model: "parrot", messages, ...options })) {
    chunks.push(chunk);
  }
  return {
    text: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
    finish: chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean),
    usage: chunks.at(-1).usage,
  };
}

async function embeddings() {
  const input = ["a cat", "a kitten", "an invoice"];
  const [base64, floats] = [
    await client.embeddings.create({ model: "local-embedding", input }), // the SDK asks for base64 by itself
    await client.embeddings.create({ model: "local-embedding", input, encoding_format: "float" }),
  ];
  const [cat, kitten, invoice] = base64.data.map((item) => item.embedding);
  const dot = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);
  const difference = Math.max(...cat.map((value, place) => Math.abs(value - floats.data[0].embedding[place])));
  return { size: cat.length, near: dot(cat, kitten), far: dot(cat, invoice), difference };
}

const names = [];
for await (const model of client.models.list()) names.push(model.id);

console.log(
  JSON.stringify({
    models: names,
    chat: await chat(),
    stream: await stream(),
    embeddings: names.includes("local-embedding") ? await embeddings() : null,
    unknownModel: await failure(client.chat.completions.create({ model: "nobody", messages })),
    badBody: await failure(client.chat.completions.create({ model: "parrot", messages: "not a list" })),
    noRoute: await failure(client.get("/no/such/route")),
    wrongKey: await failure(client.withOptions({ apiKey: "uc_wrong" }).models.list()),
  }),
);
