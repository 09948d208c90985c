import { element, field, figure, heat, number, oneHot, run, transposed } from "./live.js";

const WORDS = {
  en: {
    title: "Two sentences and their hidden states",
    field: ["First sentence", "Second sentence"],
    states: (text) => `States after each character of ${text}`,
    unit: (i) => `unit ${i}`,
    distance: "Distance between the two last states: ",
    skipped: (count) => `Left out: ${count}. The network knows 我, 爱 and 你 only.`,
    erase: "Erase",
  },
  zh: {
    title: "两句话的隐藏状态",
    field: ["第一句", "第二句"],
    states: (text) => `“${text}”每读一个字之后的状态`,
    unit: (i) => `单元 ${i}`,
    distance: "两个最终状态之间的距离：",
    skipped: (count) => `略去 ${count} 个字符：网络只认识“我”“爱”“你”。`,
    erase: "删除",
  },
};

figure("order", WORDS, ({ rnn }, { characters, texts }, words) => {
  const tables = texts.map(() => element("div"));
  const distance = element("p", { role: "status" });
  const last = texts.map(() => Array(rnn.outputs).fill(0));
  const fields = texts.map((value, which) => {
    const changed = (pieces) => {
      const states = run(rnn, pieces.map((piece) => oneHot(characters, piece)));
      last[which] = states.at(-1) ?? Array(rnn.outputs).fill(0);
      const rows = transposed(states).map((row, i) => [words.unit(i + 1), row]);
      const caption = words.states(pieces.join(""));
      tables[which].replaceChildren(heat({ caption, columns: pieces, rows }));
      distance.replaceChildren(words.distance, number(apart(...last), 4));
    };
    const pattern = new RegExp(`[${characters}]`, "g");
    return field({ label: words.field[which], value, pattern, keys: characters, words, changed });
  });
  fields.forEach(({ read }) => read());
  const sentences = fields.map(({ line }, which) => element("div", {}, line, tables[which]));
  return [element("div", { class: "pair" }, ...sentences), distance];
});

/** The length of the difference of two vectors. */
function apart(a, b) {
  return Math.hypot(...a.map((value, i) => value - b[i]));
}
