import { element, field, figure, heat, run } from "./live.js";

/** Networks that keep the last digit with a mark, and what their gates do while one types. */
export function latch(name, words) {
  figure(name, words, (networks, data, own) => {
    const tables = element("div");
    const changed = (pieces) => {
      const rows = pieces.map((piece) => [Number(piece[0]) / 10, piece.length - 1]);
      const found = Object.entries(networks).map(([network, layer]) => {
        const [cell, value] = network.split("_");
        return { cell, value, given: run(layer, rows).flat() };
      });
      const cells = [...new Set(found.map(({ cell }) => cell))];
      tables.replaceChildren(
        ...cells.map((cell) => {
          const mine = found.filter((one) => one.cell === cell);
          const lines = mine.map(({ value, given }) => [own.values[value], given]);
          return heat({ caption: own.table(cell), columns: pieces, rows: lines });
        }),
      );
    };
    const reads = field({
      label: own.field,
      value: data.text,
      pattern: /[0-9]!?/g,
      words: own,
      changed,
    });
    reads.read();
    return [reads.line, tables];
  });
}
