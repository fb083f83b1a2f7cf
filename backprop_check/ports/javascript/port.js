/**
 * The port: how backprop-check talks to the network in network.js.
 *
 * A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
 * There is no mathematics here. Keep this file, and put your own network behind `backprop`.
 */

import { createInterface } from "node:readline";

import { activations } from "./activations.js";
import { backprop } from "./backprop.js";
import { losses } from "./losses.js";

/** Answers until stdin ends. */
async function main() {
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
  for await (const line of lines) {
    if (line.trim() === "") continue;
    process.stdout.write(toJson(answer(line)) + "\n"); // written at once: Node keeps nothing back
  }
}

/** The reply to one request. */
function answer(line) {
  let request;
  try {
    request = JSON.parse(line);
    switch (request.type) {
      case "hello":
        return hello(request);
      case "case":
        return backprop(request);
      case undefined:
        throw new Error("a request has a type");
      default:
        return { id: request.id, skip: `the request ${request.type} is not there yet` };
    }
  } catch (error) {
    // One case that fails must not end the others: say what happened, and go on.
    return { id: request?.id, error: String(error), traceback: error.stack };
  }
}

/** Says who we are and what we can do. What is not listed under `supports` is never asked for. */
function hello(request) {
  return {
    protocol: 1,
    name: "vanilla-javascript",
    language: `JavaScript, Node.js ${process.versions.node}`,
    version: "0.1.0",
    dtype: "float64",
    max_in_flight: 16,
    supports: {
      layers: ["dense"],
      activations: Object.keys(activations),
      losses: Object.keys(losses),
      optimizers: ["sgd"],
      batch: true,
    },
    echo: request.echo, // shows that no digit is lost on the way in and out
  };
}

/**
 * The value as JSON. Two things JSON.stringify would lose: it writes null for NaN and infinity, which the
 * protocol wants as text, and 0 for -0.
 */
function toJson(value) {
  if (typeof value === "number") {
    if (!Number.isFinite(value)) return `"${value}"`;
    return Object.is(value, -0) ? "-0.0" : String(value);
  }
  if (Array.isArray(value)) return `[${value.map(toJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${toJson(member)}`).join(",")}}`;
  }
  return JSON.stringify(value ?? null);
}

await main();
