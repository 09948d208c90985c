/** A sequence that is read step by step. Its memory is part of its instance's. */
export interface Stream {
  /**
   * One step. x has `inputs` numbers, or is a token. Returns y, which has `outputs` numbers: a new array, or the
   * one that is given. No result is a view of the module's memory.
   * @throws RangeError for arrays of other lengths, tokens that there are not, names of no input
   */
  step(x: Step, ...further: Further): Numbers;
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

