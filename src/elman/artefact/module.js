// What follows is the same for all modules.
const { name, inputs, outputs, further, stateBytes } = ABOUT;
const furtherInputs = Object.freeze(Object.fromEntries(further));
const Numbers = ABOUT.dtype === "double" ? Float64Array : Float32Array;
const BYTES = Numbers.BYTES_PER_ELEMENT;
const ALIGNMENT = 64;
const PAGE = 65536; // of the module's memory
const ROWS = 64; // steps for which arrays have room; longer chunks are cut, which changes no bit

/** Loads the module and makes an instance: from a URL, a response, bytes or a compiled module. */
export async function load(source = BESIDE()) {
  const module = await compiled(await source);
  return new Layer(module, await WebAssembly.instantiate(module));
}

/** Makes an instance of a compiled module at once, for an AudioWorklet's constructor. */
export function start(module) {
  return new Layer(module, new WebAssembly.Instance(module));
}

async function compiled(source) {
  if (source instanceof WebAssembly.Module) return source;
  if (source?.byteLength !== undefined) return WebAssembly.compile(source);
  if (String(source).startsWith("file:")) {
    throw new Error(`${name}: expected bytes, since fetch reads no file; got ${source}`);
  }
  const response = source?.arrayBuffer ? source : await fetch(source);
  if (!response.ok) throw new Error(`${name}: ${response.url} answered ${response.status}`);
  const streams = WebAssembly.compileStreaming !== undefined;
  if (streams && response.headers.get("content-type")?.startsWith("application/wasm")) {
    return WebAssembly.compileStreaming(response);
  }
  return WebAssembly.compile(await response.arrayBuffer());
}

/** The module's memory: arrays that all streams share, then a place for the state of each. */
class Memory {
  #memory;
  #end;
  #numbers;
  #free = [];

  constructor({ memory, __heap_base }) {
    this.#memory = memory;
    this.#end = __heap_base.value;
  }

  take(bytes) {
    const place = Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT;
    const missing = place + bytes - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    this.#end = place + bytes;
    return place;
  }

  takeState() {
    return this.#free.pop() ?? this.take(stateBytes);
  }

  giveState(place) {
    this.#free.push(place);
  }

  /** All numbers. Growing makes another buffer. */
  get numbers() {
    if (this.#numbers?.buffer !== this.#memory.buffer) {
      this.#numbers = new Numbers(this.#memory.buffer);
    }
    return this.#numbers;
  }
}

/** An instance: one memory with any number of streams. */
class Layer {
  #memory;
  #exports;
  #arrays;

  constructor(module, { exports }) {
    const [made] = WebAssembly.Module.customSections(module, "elman");
    const other = made && String.fromCharCode(...new Uint8Array(made)) !== ABOUT.made;
    if (other || !exports[`${name}_chunk`]) {
      throw new Error(`${name}: expected the ${name}.wasm that was exported with ${name}.js`);
    }
    Object.assign(this, { module, name, inputs, outputs, furtherInputs, stateBytes });
    this.#exports = exports;
    this.#memory = new Memory(exports);
    this.#arrays = [["x", inputs], ...further, ["y", outputs]].map(([what, width]) => {
      return { what, width, place: this.#memory.take(BYTES * width * ROWS) };
    });
    Object.freeze(this);
  }

  /** Begins a stream. */
  stream() {
    return new Stream(this.#memory, this.#exports, this.#arrays);
  }
}

/** A sequence that is read step by step. */
class Stream {
  #memory;
  #given;
  #goal;
  #places;
  #reset;
  #chunk;
  #state;

  constructor(memory, exports, arrays) {
    this.#memory = memory;
    this.#given = arrays.slice(0, -1);
    this.#goal = arrays.at(-1);
    this.#places = this.#given.map(({ place }) => place);
    this.#reset = exports[`${name}_reset`];
    this.#chunk = exports[`${name}_chunk`];
    this.#state = memory.takeState();
    this.reset();
  }

  /** One step: numbers of x, further inputs by their names. Returns y, a new array if not given. */
  step(x, byName, y = new Numbers(outputs)) {
    return this.#run(x, 1, byName, y);
  }

  /** T steps, row after row, with the bits of so many calls of step. */
  chunk(x, T = x?.length / inputs, byName, y) {
    if (!Number.isSafeInteger(T) || T < 0) {
      throw new RangeError(`${name}: expected T whole rows of ${inputs} numbers, got T = ${T}`);
    }
    return this.#run(x, T, byName, y ?? new Numbers(T * outputs));
  }

  /** Begins the sequence again. */
  reset() {
    this.#reset(this.#place());
  }

  /** Gives the stream's memory to the next one. */
  free() {
    if (this.#state !== undefined) this.#memory.giveState(this.#state);
    this.#state = undefined;
  }

  #place() {
    if (this.#state === undefined) throw new Error(`${name}: expected a stream, got a freed one`);
    return this.#state;
  }

  #run(x, T, byName, y) {
    const state = this.#place();
    for (const what in byName) {
      if (!Object.hasOwn(furtherInputs, what)) {
        const known = JSON.stringify(Object.keys(furtherInputs));
        throw new RangeError(`${name}: expected further inputs ${known}, got "${what}"`);
      }
    }
    const values = [x];
    for (const [what] of further) values.push(byName?.[what]);
    this.#given.forEach((array, i) => check(array, values[i], T));
    check(this.#goal, y, T);
    for (let first = 0; first < T; first += ROWS) {
      const rows = Math.min(ROWS, T - first);
      const { numbers } = this.#memory;
      for (let n = 0; n < values.length; n++) {
        const { width, place } = this.#given[n];
        copy(values[n], first * width, numbers, place / BYTES, rows * width);
      }
      this.#chunk(state, ...this.#places, rows, this.#goal.place);
      copy(numbers, this.#goal.place / BYTES, y, first * outputs, rows * outputs);
    }
    return y;
  }
}

/** Copies without making views, which a garbage collector would have to collect. */
function copy(from, at, to, place, count) {
  for (let i = 0; i < count; i++) to[place + i] = from[at + i];
}

function check({ what, width }, values, T) {
  if (values?.length !== T * width) {
    const got = values?.length ?? typeof values;
    throw new RangeError(
      `${name}: expected ${T * width} numbers in ${what} (${T} x ${width}), got ${got}`,
    );
  }
}
