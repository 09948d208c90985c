// Runs a module where little but the language is there, as in an AudioWorklet.
import { readFileSync } from "node:fs";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

if (isMainThread) {
  const [script, wasm] = process.argv.slice(2);
  const module = await WebAssembly.compile(readFileSync(wasm));
  const worker = new Worker(new URL(import.meta.url), { workerData: { script, module } });
  worker.on("message", (numbers) => console.log(JSON.stringify(numbers)));
} else {
  const { script, module } = workerData;
  for (const name of ["fetch", "URL", "TextDecoder", "TextEncoder", "performance", "setTimeout"]) {
    delete globalThis[name];
  }
  const { start } = await import(script);
  const layer = start(module);
  parentPort.postMessage([...layer.stream().step(Array(layer.inputs).fill(0.5))]);
}
