// Reads from standard input which module to load and what to do with it; prints results as JSON.
import { readFileSync } from "node:fs";

const { script, source, x, further, expressions } = JSON.parse(readFileSync(0));
const { load, start } = await import(script);

function attempt(act) {
  try {
    return act();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

let streamed = 0;
const { compileStreaming } = WebAssembly;
WebAssembly.compileStreaming = (response) => {
  streamed += 1;
  return compileStreaming(response);
};

let layer;
try {
  layer = await load(source.startsWith("http") ? source : readFileSync(source));
} catch (error) {
  console.log(JSON.stringify({ error: `${error.name}: ${error.message}` }));
  process.exit();
}

const { inputs, outputs, furtherInputs, stateBytes } = layer;
const T = x.length / inputs;
const row = (values, t, width) => values.slice(t * width, (t + 1) * width);
const rowOf = (t) =>
  Object.fromEntries(
    Object.entries(furtherInputs).map(([key, n]) => [key, row(further[key], t, n)]),
  );
const step = (stream, t) => [...stream.step(row(x, t, inputs), rowOf(t))];
const times = Array.from({ length: T }, (_, t) => t);
const found = { streamed, inputs, outputs, furtherInputs, stateBytes };

if (layer.maxSteps === 0) playSteps();

function playSteps() {
  const stream = layer.stream();
  found.steps = times.flatMap((t) => step(stream, t));
  stream.reset();
  found.chunk = [...stream.chunk(x, T, further)];
  stream.reset();
  found.given = [...stream.chunk(Float64Array.from(x), undefined, further)];

  const other = layer.stream();
  stream.reset();
  const [forth, back] = [[], []];
  for (const t of times) {
    forth.push(...step(stream, t));
    back.push(...step(other, T - 1 - t));
  }
  const alone = start(layer.module).stream();
  found.forth = forth;
  found.back = back;
  found.backAlone = times.flatMap((t) => step(alone, T - 1 - t));
  found.kind = stream.chunk(x, T, further).constructor.name;
}

found.values = (expressions ?? []).map((text) =>
  attempt(() => new Function("layer", "stream", `return ${text}`)(layer, layer.stream())),
);
console.log(JSON.stringify(found));
