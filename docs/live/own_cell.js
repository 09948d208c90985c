import { latch } from "./latch.js";

latch("own_cell", {
  en: {
    title: "The gate of a minimal gated unit",
    field: "Digits",
    table: (cell) => `${cell} of one unit`,
    values: { f: "f, gate", n: "n", h: "h" },
    skipped: (count) => `Left out: ${count}. Type digits, with ! after those to keep.`,
  },
  zh: {
    title: "最小门控单元的门",
    field: "数字",
    table: (cell) => `只有一个单元的 ${cell}`,
    values: { f: "f 门", n: "n", h: "h" },
    skipped: (count) => `略去 ${count} 个字符：请输入数字，要记住的在后面加 !。`,
  },
});
