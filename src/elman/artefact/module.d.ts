/** An instance of the module: one memory with any number of streams. */
export interface Layer {
  /** Begins a stream. */
  stream(): Stream;
  readonly name: string;
  readonly inputs: number;
  /** How many tokens there are, from 0 on; 0 if x is numbers. */
  readonly tokens: number;
  readonly outputs: number;
  /** The most steps of a sequence that is read as a whole; 0 if each step has its result. */
  readonly maxSteps: number;
  /** How many numbers each further input has, by its name. */
  readonly furtherInputs: Readonly<Record<string, number>>;
  /** Memory of one stream. */
  readonly stateBytes: number;
  /** The compiled module, for `postMessage` to a worker and `start` there. */
  readonly module: WebAssembly.Module;
}

export type Source = string | URL | Response | BufferSource | WebAssembly.Module;

/**
 * Loads the module and makes an instance: from a URL, a response, bytes or a compiled module; from
 * the file beside this one, unless it is given.
 */
export function load(source?: Source | Promise<Source>): Promise<Layer>;

/** Makes an instance of a compiled module at once, for an AudioWorklet's constructor. */
export function start(module: WebAssembly.Module): Layer;
