/** A sequence that is read step by step. Its memory is part of its instance's. */
export interface Stream {
  /**
   * One step. x has `inputs` numbers. Returns y, which has `outputs` numbers: a new array, or the
   * one that is given. No result is a view of the module's memory.
   * @throws RangeError for arrays of other lengths, and names of no input
   */
  step(x: ArrayLike<number>, ...further: Further): Numbers;
  /**
   * T steps, with the bits of T calls of `step`: x is (T, inputs), row after row, y (T, outputs),
   * a further input (T, its size). T is what x has, unless it is given.
   */
  chunk(x: ArrayLike<number>, T?: number, ...further: Further): Numbers;
  /** Begins the sequence again. */
  reset(): void;
  /** Gives the stream's memory to the next one. The stream cannot be used any more. */
  free(): void;
}

/** An instance of the module: one memory with any number of streams. */
export interface Layer {
  /** Begins a stream. */
  stream(): Stream;
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
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
