import { colour, element, field, figure, flow, heat, oneHot, run, softmax, text } from "./live.js";

const LONGEST = 60; // characters that it writes up to; then it begins again
const PACE = 150; // milliseconds for each
const MOST = 4; // bits, for the strongest colour

const WORDS = {
  en: {
    title: "A language model that writes",
    field: "Text",
    surprise: "Bits of surprise at each character",
    chances: "Chances of the next character",
    chance: "p",
    temperature: "Temperature",
    write: "Write on",
    stop: "Stop",
    skipped: (count) => `Left out: ${count}. The model knows 四, 十, 是 and ， only.`,
    erase: "Erase",
  },
  zh: {
    title: "会写字的语言模型",
    field: "文本",
    surprise: "每个字的惊讶程度（比特）",
    chances: "下一个字的概率",
    chance: "p",
    temperature: "温度",
    write: "接着写",
    stop: "停",
    skipped: (count) => `略去 ${count} 个字符：模型只认识“四”“十”“是”“，”。`,
    erase: "删除",
  },
};

figure("language_models", WORDS, ({ model }, { characters, text: start }, words) => {
  const surprise = element("div");
  const chances = element("div");
  let logits = [];
  let timer;

  const changed = (pieces) => {
    const rows = run(model, pieces.map((piece) => oneHot(characters, piece)));
    const expected = rows.map((row) => softmax(row));
    const read = pieces.map((piece, t) => {
      return surprised(piece, t ? -Math.log2(expected[t - 1][characters.indexOf(piece)]) : undefined);
    });
    surprise.replaceChildren(flow(words.surprise, read));
    logits = rows.at(-1) ?? Array(characters.length).fill(0);
    const columns = [...characters];
    const next = [[words.chance, softmax(logits)]];
    chances.replaceChildren(heat({ caption: words.chances, columns, rows: next }));
  };
  const pattern = new RegExp(`[${characters}]`, "g");
  const given = { label: words.field, value: start, pattern, keys: characters };
  const reads = field({ ...given, words, changed });

  const temperature = element("input", { type: "range", min: 0.2, max: 4, step: 0.1, value: 1 });
  const shown = element("output", {}, text(1, 1));
  temperature.addEventListener("input", () => {
    shown.value = text(temperature.valueAsNumber, 1);
  });
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
    button.textContent = words.write;
  };
  const write = () => {
    if (reads.input.value.length >= LONGEST) return stop();
    const drawn = draw(softmax(logits.map((logit) => logit / temperature.valueAsNumber)));
    reads.input.value += characters[drawn];
    reads.read();
  };
  const toggle = () => {
    if (timer) return stop();
    button.textContent = words.stop;
    if (reads.input.value.length >= LONGEST) reads.input.value = start;
    timer = setInterval(write, PACE);
  };
  const button = element("button", { type: "button", onclick: toggle }, words.write);
  reads.input.addEventListener("input", stop);

  reads.read();
  const label = element("label", {}, words.temperature, element("span", {}, temperature, shown));
  const control = element("div", { class: "field" }, label, button);
  return [reads.line, control, element("p", {}, words.surprise), surprise, chances];
});

/** A character for `flow`, and how many bits it surprised by; nothing is expected of the first. */
function surprised(piece, bits) {
  if (bits === undefined) return [piece, "–"];
  return [piece, text(bits, 1), { "data-value": bits, ...colour(-bits, MOST) }]; // red
}

/** A place, drawn with these chances. */
function draw(chances) {
  let left = Math.random();
  return Math.max(chances.findIndex((chance) => (left -= chance) < 0), 0);
}
