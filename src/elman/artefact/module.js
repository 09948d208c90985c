// What follows is the same for all modules.
const { name, inputs, tokens, outputs, maxSteps, pooled, further, stateBytes } = ABOUT;
const furtherInputs = Object.freeze(Object.fromEntries(further));
const Numbers = ABOUT.dtype === "double" ? Float64Array : Float32Array;
const BYTES = Numbers.BYTES_PER_ELEMENT;
const ALIGNMENT = 64;
const PAGE = 65536; // of the module's memory
// Steps for which arrays have room. Longer chunks are cut, which changes no bit.
const ROWS = maxSteps || 64;
const FEWEST = pooled ? 1 : 0; // steps

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
  #ints;
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
    this.#look();
    return this.#numbers;
  }

  get ints() {
    this.#look();
    return this.#ints;
  }

  #look() {
    const { buffer } = this.#memory;
    if (this.#numbers?.buffer === buffer) return;
    this.#numbers = new Numbers(buffer);
    this.#ints = new Int32Array(buffer);
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
    const sizes = { inputs, tokens, outputs, maxSteps, furtherInputs, stateBytes };
    Object.assign(this, { module, name, ...sizes });
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
    this.reset?.();
  }

  /** One step: numbers of x, further inputs by their names. Returns y, a new array if not given. */
  step(x, byName, y = new Numbers(outputs)) {
    return this.#run(tokens && typeof x === "number" ? [x] : x, 1, byName, y);
  }

  /** T steps, row after row, with the bits of so many calls of step; or a whole sequence. */
  chunk(x, T = x?.length / inputs, byName, y) {
    if (!Number.isSafeInteger(T) || T < 0) {
      throw new RangeError(`${name}: expected T whole rows of ${inputs} numbers, got T = ${T}`);
    }
    if (maxSteps && (T > maxSteps || T < FEWEST)) {
      throw new RangeError(`${name}: expected ${FEWEST} to ${maxSteps} steps, got ${T}`);
    }
    return this.#run(x, T, byName, y ?? new Numbers(rowsOf(T) * outputs));
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
    check(this.#goal, y, rowsOf(T));
    if (tokens) checkTokens(x);
    for (let first = 0; first < T; first += ROWS) {
      const rows = Math.min(ROWS, T - first);
      const { numbers, ints } = this.#memory;
      for (let n = 0; n < values.length; n++) {
        const { width, place } = this.#given[n];
        const [to, bytes] = tokens && n === 0 ? [ints, 4] : [numbers, BYTES];
        copy(values[n], first * width, to, place / bytes, rows * width);
      }
      this.#chunk(state, ...this.#places, rows, this.#goal.place);
      copy(numbers, this.#goal.place / BYTES, y, first * outputs, rowsOf(rows) * outputs);
    }
    return y;
  }
}

// What needs a whole sequence has no steps.
if (maxSteps) for (const method of ["step", "reset"]) delete Stream.prototype[method];

/** Rows of the result of so many steps. */
function rowsOf(T) {
  return pooled ? 1 : T;
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

function checkTokens(x) {
  for (let i = 0; i < x.length; i++) {
    if (!Number.isInteger(x[i]) || x[i] < 0 || x[i] >= tokens) {
      throw new RangeError(
        `${name}: expected tokens from 0 to ${tokens - 1}, got ${x[i]} in x at ${i}`,
      );
    }
  }
}
