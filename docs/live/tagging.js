import { colour, element, field, figure, flow, heat, oneHot, run, softmax, transposed } from "./live.js";

const COLOURS = { PER: colour(0.7), LOC: colour(-0.7) };

const WORDS = {
  en: {
    title: "A tagger that reads as one types",
    field: "Sentence",
    path: "The best legal tags",
    chances: "Chances of each tag",
    skipped: (count) => `Left out: ${count}.`,
    erase: "Erase",
  },
  zh: {
    title: "边输入边标注",
    field: "句子",
    path: "最好的合法标签",
    chances: "各个标签的概率",
    skipped: (count) => `略去 ${count} 个字符。`,
    erase: "删除",
  },
};

figure("tagging", WORDS, ({ tagger }, { characters, tags, text }, words) => {
  const tagged = element("div");
  const table = element("div");
  const changed = (pieces) => {
    const steps = pieces.map((piece) => oneHot(characters, piece));
    const chances = run(tagger, steps).map((row) => softmax(row));
    const path = bestPath(chances, tags);
    const read = pieces.map((piece, t) => [piece, path[t], COLOURS[path[t].slice(2)]]);
    tagged.replaceChildren(flow(words.path, read));
    const rows = transposed(chances).map((row, i) => [tags[i], row]);
    table.replaceChildren(heat({ caption: words.chances, columns: pieces, rows }));
  };
  const keys = characters + "韩";
  const given = { label: words.field, value: text, pattern: /\p{Script=Han}/gu, keys };
  const { line, read } = field({ ...given, words, changed });
  read();
  return [line, element("p", {}, words.path), tagged, table];
});

/** The likeliest tags of which every I continues a name of its kind: Viterbi's algorithm. */
function bestPath(chances, tags) {
  const legal = (from, to) => !to.startsWith("I") || from.slice(1) === to.slice(1);
  let paths = [{ score: 0, path: ["O"] }]; // what is before the sentence
  for (const row of chances) {
    paths = tags.map((tag, i) => {
      const before = paths.filter(({ path }) => legal(path.at(-1), tag));
      const { score, path } = before.reduce(better, { score: -Infinity, path: [] });
      return { score: score + Math.log(row[i]), path: [...path, tag] };
    });
  }
  return paths.reduce(better).path.slice(1);
}

function better(a, b) {
  return b.score > a.score ? b : a;
}
