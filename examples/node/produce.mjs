// Send files as one big result with amqplib.
//
//     npm ci
//     BRH_AMQP_URL=amqp://user:password@host/vhost node produce.mjs T1 cashflows=big.csv log=run.log
//
// Run it again after any failure: `T1.sent` remembers what the broker has confirmed. Without that file everything is
// sent again, which is harmless: the same payload counts once.

import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { open, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import amqp from "amqplib";

const CHUNK_BYTES = Number(process.env.BRH_CHUNK_BYTES ?? 8 << 20); // up to 256 MiB; the same in every run
const SMALL_BYTES = 256 << 10; // below this a payload belongs on `small.`
const UNCONFIRMED = 8; // messages on their way at once
const TRIES = 8; // for each message, with pauses of 1, 2, 4, ... at most 30 seconds

const [transaction, ...pairs] = process.argv.slice(2);
const files = pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
const journal = `${transaction}.sent`;

for (let attempt = 0; ; attempt++) {
  try {
    await send();
    break;
  } catch (error) {
    if (attempt === TRIES) throw error;
    await pause(attempt, `the connection was lost: ${error.message}`);
  }
}

async function send() {
  const sent = new Set(existsSync(journal) ? readFileSync(journal, "utf8").split("\n") : []);
  const connection = await amqp.connect(process.env.BRH_AMQP_URL);
  connection.on("error", () => {}); // whatever is on its way fails, and is sent again
  try {
    const channel = await connection.createConfirmChannel();
    channel.on("error", () => {});
    const lost = new Promise((_, fail) => channel.once("close", () => fail(new Error("the channel was closed"))));
    lost.catch(() => {}); // somebody may not be waiting just then
    const returned = new Set(); // a message that no queue takes comes back before its confirmation
    channel.on("return", (message) => returned.add(message.properties.messageId));

    const once = (routingKey, body, properties) =>
      new Promise((done) => channel.publish("brh.in", routingKey, body, properties, done));

    async function publish(name, routingKey, body, properties) {
      const messageId = `${transaction}/${name}`;
      const all = { correlationId: transaction, messageId, persistent: true, mandatory: true, ...properties };
      for (let attempt = 0; attempt < TRIES; attempt++) {
        const nacked = await Promise.race([once(routingKey, body, all), lost]);
        if (!nacked && !returned.delete(messageId)) {
          appendFileSync(journal, `${name}\n`);
          return;
        }
        await pause(attempt, `${name} was ${nacked ? "refused" : "not taken by any queue"}`);
      }
      console.error(`gave up on ${name}`);
      process.exit(1);
    }

    const underWay = new Set();
    const failures = [];
    for await (const [name, ...message] of messages(sent)) {
      const one = publish(name, ...message)
        .catch((error) => failures.push(error))
        .finally(() => underWay.delete(one));
      underWay.add(one);
      if (underWay.size >= UNCONFIRMED) await Promise.race(underWay);
      if (failures.length) break;
    }
    await Promise.all(underWay);
    if (failures.length) throw failures[0];
  } finally {
    await connection.close().catch(() => {});
  }
}

// Name, routing key, body and properties of all that was not sent yet; a chunk is read when it is its turn.
async function* messages(sent) {
  const sizes = await Promise.all(files.map(async ([, path]) => (await stat(path)).size));
  const totals = sizes.map((size) => Math.ceil(size / CHUNK_BYTES));
  if (!sent.has("header")) {
    const series = files.map(([type], at) => ({ type, totalCount: totals[at] }));
    const properties = { type: "brh.header.v1", contentType: "application/json" };
    yield ["header", "header.default", Buffer.from(JSON.stringify({ series })), properties];
  }
  for (const [at, [series, path]] of files.entries()) {
    const file = await open(path);
    for (let ordinal = 1; ordinal <= totals[at]; ordinal++) {
      if (sent.has(`${series}/${ordinal}`)) continue;
      const start = (ordinal - 1) * CHUNK_BYTES;
      const body = Buffer.alloc(Math.min(CHUNK_BYTES, sizes[at] - start));
      await file.read(body, 0, body.length, start);
      const lane = body.length < SMALL_BYTES ? "small" : "payload";
      const headers = { brh_series_type: series, brh_ordinal: ordinal, brh_total_count: totals[at] };
      yield [`${series}/${ordinal}`, `${lane}.${series}`, body, { type: "brh.payload.v1", headers }];
    }
    await file.close();
  }
}

async function pause(attempt, why) {
  console.error(`again: ${why}`);
  await sleep(1000 * Math.min(30, 2 ** attempt));
}
