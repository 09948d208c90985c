import { latch } from "./latch.js";

latch("gates", {
  en: {
    title: "The gates of an LSTM and a GRU",
    field: "Digits",
    table: (cell) => `${cell} of one unit`,
    values: {
      i: "i, input", f: "f, forget", o: "o, output", c: "c", h: "h",
      r: "r, reset", z: "z, update", n: "n",
    },
    skipped: (count) => `Left out: ${count}. Type digits, with ! after those to keep.`,
  },
  zh: {
    title: "LSTM 和 GRU 的门",
    field: "数字",
    table: (cell) => `只有一个单元的 ${cell}`,
    values: {
      i: "i 输入门", f: "f 遗忘门", o: "o 输出门", c: "c", h: "h",
      r: "r 重置门", z: "z 更新门", n: "n",
    },
    skipped: (count) => `略去 ${count} 个字符：请输入数字，要记住的在后面加 !。`,
  },
});
