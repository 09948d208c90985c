/** What reads whole sequences. Its memory is part of its instance's. */
export interface Stream {
  /**
   * A sequence of T steps, at most `maxSteps`: x is (T, inputs), row after row, y (T, outputs), or
   * (outputs,) where the module gives one row for a sequence; a further input is (T, its size). T is
   * what x has, unless it is given. Returns y: a new array, or the one that is given.
   * @throws RangeError for arrays of other lengths, tokens that there are not, names of no input
   */
  chunk(x: ArrayLike<number>, T?: number, ...further: Further): Numbers;
  /** Gives the memory to the next one. This one cannot be used any more. */
  free(): void;
}

