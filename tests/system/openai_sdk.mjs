// What the official Node SDK makes of our answers, as JSON on stdout: one member for each thing that was tried.
import OpenAI, { toFile } from "openai";

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

const weather = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};

async function tools() {
  const asked = { model: "fake", messages, tools: [weather], tool_choice: "required" };
  const whole = await client.chat.completions.create(asked);
  const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
  return [whole, streamed].map(({ choices: [choice] }) => ({
    finish: choice.finish_reason,
    calls: choice.message.tool_calls.map((call) => [call.id, call.function.name, call.function.arguments]),
  }));
}

async function structured() {
  const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const response_format = { type: "json_schema", json_schema: { name: "place", schema, strict: true } };
  const { choices } = await client.chat.completions.create({ model: "fake", messages, response_format });
  return JSON.parse(choices[0].message.content);
}

async function vectors() {
  const input = ["abba", "dada"]; // a provider that sends numbers, whatever encoding it is asked for
  const asked = await client.embeddings.create({ model: "fake", input }); // the SDK asks for base64 by itself
  return asked.data.map((item) => Array.from(item.embedding).slice(0, 4));
}

async function moderations() {
  const image = { type: "image_url", image_url: { url: "https://example.com/a.png" } };
  const threat = "I will kill you.";
  const [rules, provider, parts] = [
    await client.moderations.create({ input: ["Good morning.", threat] }),
    await client.moderations.create({ model: "fake", input: threat }),
    await client.moderations.create({ model: "fake", input: [{ type: "text", text: "hi" }, image] }),
  ];
  return {
    model: rules.model,
    flagged: [rules, provider, parts].map((answer) => answer.results.map((result) => result.flagged)),
    threatening: rules.results[1].categories["harassment/threatening"],
    score: rules.results[1].category_scores["harassment/threatening"],
    applied: parts.results[0].category_applied_input_types.violence,
    image: await failure(client.moderations.create({ input: [image] })),
  };
}

async function stored() {
  const made = await client.chat.completions.create({ model: "parrot", messages, store: true, metadata: { a: "b" } });
  const ids = [];
  for await (const kept of client.chat.completions.list({ metadata: { a: "b" } })) ids.push(kept.id);
  const said = await client.chat.completions.messages.list(made.id);
  const { deleted } = await client.chat.completions.delete(made.id);
  return { found: ids.includes(made.id), said: said.data.map((message) => message.content), deleted };
}

async function responses() {
  const asked = { model: "parrot", input: "Hello?" };
  const { data: whole, request_id } = await client.responses.create(asked).withResponse();
  const events = [];
  for await (const event of await client.responses.create({ ...asked, stream: true })) events.push(event);
  const final = await client.responses.stream(asked).finalResponse();
  const next = await client.responses.create({ ...asked, previous_response_id: whole.id });
  const items = [];
  for await (const item of client.responses.inputItems.list(next.id, { limit: 1, order: "asc" })) items.push(item);
  const accepted = await client.responses.create({ ...asked, background: true });
  const followed = [];
  for await (const event of await client.responses.retrieve(accepted.id, { stream: true, starting_after: 1 })) {
    followed.push(event);
  }
  const background = await client.responses.retrieve(accepted.id);
  await client.responses.delete(whole.id);
  return {
    text: whole.output_text,
    request_id,
    types: events.map((event) => event.type),
    numbers: events.map((event) => event.sequence_number),
    streamed: events.at(-1).response.output[0].content[0].text,
    helper: final.output_text,
    items: items.map((item) => item.content[0].text),
    accepted: accepted.status,
    background: { id: background.id === accepted.id, status: background.status, text: background.output_text },
    followed: followed.at(-1).type,
    deleted: await failure(client.responses.retrieve(whole.id)),
    refused: await failure(client.responses.create({ ...asked, previous_response_id: "resp_nowhere" })),
  };
}

const endpoint = "/v1/chat/completions";
const asking = (custom_id, model = "parrot", url = endpoint) =>
  JSON.stringify({ custom_id, method: "POST", url, body: { model, messages } });

async function uploaded(lines) {
  const text = lines.join("\n");
  const expires_after = { anchor: "created_at", seconds: 3600 };
  return client.files.create({ file: await toFile(Buffer.from(text), "asked.jsonl"), purpose: "batch", expires_after });
}

async function ended(lines, { cancels = false } = {}) {
  const input = await uploaded(lines);
  let batch = await client.batches.create({ input_file_id: input.id, endpoint, completion_window: "24h" });
  if (cancels) batch = await client.batches.cancel(batch.id);
  while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    batch = await client.batches.retrieve(batch.id);
  }
  return batch;
}

async function linesOf(id) {
  const text = id ? await (await client.files.content(id)).text() : "";
  return text.split("\n").filter(Boolean).map((each) => JSON.parse(each));
}

async function files() {
  const { data: made, request_id } = await client.files
    .create({ file: await toFile(Buffer.from("a\nb"), "two.txt"), purpose: "user_data" })
    .withResponse();
  const found = await client.files.retrieve(made.id);
  const listed = [];
  for await (const each of client.files.list({ limit: 1, purpose: "user_data" })) listed.push(each.id);
  const content = await (await client.files.content(made.id)).text();
  const { deleted } = await client.files.delete(made.id);
  return {
    found: [found.filename, found.bytes, found.purpose, found.object],
    listed: listed.includes(made.id),
    content,
    request_id,
    deleted,
    gone: await failure(client.files.retrieve(made.id)),
    empty: await failure(client.files.create({ file: await toFile(Buffer.from("a"), "a"), purpose: "nothing" })),
  };
}

async function batches() {
  const done = await ended([...Array(20).keys()].map((number) => asking(`line-${number}`)).concat(asking("odd", "refuses")));
  const [output, errors] = [await linesOf(done.output_file_id), await linesOf(done.error_file_id)];
  const wrong = await ended([asking("one"), "{", asking("two", "parrot", "/v1/embeddings")]);
  const cancelled = await ended([...Array(300).keys()].map((number) => asking(`line-${number}`)), { cancels: true });
  const listed = [];
  for await (const each of client.batches.list({ limit: 1 })) listed.push(each.id);
  return {
    status: done.status,
    counts: done.request_counts,
    answered: output.map((each) => [each.custom_id, each.response.body.choices[0].message.content]),
    refused: errors.map((each) => [each.custom_id, each.response.status_code]),
    usage: done.usage.output_tokens > 0,
    wrong: [wrong.status, wrong.errors.data.map((each) => each.line)],
    cancelled: [cancelled.status, cancelled.request_counts.completed < 300],
    listed: [done.id, wrong.id, cancelled.id].every((id) => listed.includes(id)),
    late: await failure(client.batches.cancel(done.id)),
    noFile: await failure(client.batches.create({ input_file_id: "file-none", endpoint, completion_window: "24h" })),
    unknown: await failure(client.batches.retrieve("batch_none")),
  };
}

const names = [];
for await (const model of client.models.list()) names.push(model.id);

console.log(
  JSON.stringify({
    models: names,
    chat: await chat(),
    stream: await stream(),
    responses: await responses(),
    embeddings: names.includes("local-embedding") ? await embeddings() : null,
    tools: await tools(),
    structured: await structured(),
    vectors: await vectors(),
    moderations: await moderations(),
    stored: await stored(),
    files: await files(),
    batches: await batches(),
    deleteModel: await failure(client.models.delete("parrot")),
    unknownModel: await failure(client.chat.completions.create({ model: "nobody", messages })),
    badBody: await failure(client.chat.completions.create({ model: "parrot", messages: "not a list" })),
    noRoute: await failure(client.get("/no/such/route")),
    wrongKey: await failure(client.withOptions({ apiKey: "uc_wrong" }).models.list()),
  }),
);
