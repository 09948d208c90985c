import { element, figure, heat, number, run, text, transposed } from "./live.js";

const WORDS = {
  en: {
    title: "The states of three steps, and how each number comes about",
    input: (i, t) => `Feature ${i} of step ${t}`,
    states: "States: choose a number to see how it comes about",
    unit: (i) => `unit ${i}`,
    step: (t) => `step ${t}`,
    chosen: (i, t) => `Unit ${i} of step ${t}:`,
  },
  zh: {
    title: "三个时间步的状态，以及每个数的来历",
    input: (i, t) => `第 ${t} 步的第 ${i} 个特征`,
    states: "状态：点一个数，看它怎么算出来",
    unit: (i) => `单元 ${i}`,
    step: (t) => `第 ${t} 步`,
    chosen: (i, t) => `第 ${t} 步的单元 ${i}：`,
  },
};

figure("hidden_state", WORDS, ({ rnn }, data, words) => {
  const inputs = data.inputs.map((row) => [...row]);
  const states = element("div");
  const formula = element("div", { class: "formula", role: "status" });
  let [unit, step] = [0, 0];

  const show = () => {
    const h = run(rnn, inputs);
    const choose = (row, column) => {
      [unit, step] = [row, column];
      explain();
    };
    const explain = () => {
      const said = element("p", {}, words.chosen(unit + 1, step + 1));
      const before = step ? h[step - 1] : h[0].map(() => 0);
      formula.replaceChildren(said, ...lines(data, unit, step, inputs[step], before, h[step]));
      for (const [i, button] of states.querySelectorAll("button").entries()) {
        button.setAttribute("aria-pressed", i === unit * inputs.length + step);
      }
    };
    const rows = transposed(h).map((row, i) => [words.unit(i + 1), row]);
    const columns = inputs.map((_, t) => words.step(t + 1));
    states.replaceChildren(heat({ caption: words.states, columns, rows, digits: 4, choose }));
    explain();
  };
  const sliders = inputs.map((row, t) => {
    const made = row.map((value, i) => slider(value, words.input(i + 1, t + 1), (now) => {
      inputs[t][i] = now;
      show();
    }));
    return element("div", {}, ...made);
  });
  show();
  return [element("div", { class: "sliders" }, ...sliders), states, formula];
});

/** A slider from 0 to 1 that says its value; what it begins with is kept as it is. */
function slider(value, label, changed) {
  const shown = element("output", {}, text(value, 2));
  const move = ({ target }) => {
    shown.value = text(target.valueAsNumber, 2);
    changed(target.valueAsNumber);
  };
  const range = { type: "range", min: 0, max: 1, step: 0.01, value, oninput: move };
  return element("label", {}, label, element("span", {}, element("input", range), shown));
}

/** One number of a state, by the formula with its numbers. */
function lines(data, unit, step, x, before, after) {
  const input = sum("ih", ["x", step + 1], data.weight_ih_l0[unit], x, data.bias_ih_l0[unit]);
  const state = sum("hh", ["h", step], data.weight_hh_l0[unit], before, data.bias_hh_l0[unit]);
  const both = ` = tanh(${text(input.value, 4)} + ${bracketed(state.value)}) = `;
  const last = element("p", {}, ...indexed("h", step + 1), both, number(after[unit], 4));
  return [input.line, state.line, last];
}

/** A row of a matrix times a vector, with a bias: the value, and how it comes about. */
function sum(kind, vector, weights, given, bias) {
  const value = weights.reduce((total, weight, i) => total + weight * given[i], bias);
  const terms = weights.map((weight, i) => `${bracketed(weight)} · ${bracketed(given[i])}`);
  const names = [...indexed("W", kind), " ", ...indexed(...vector), " + ", ...indexed("b", kind)];
  const line = [...names, ` = ${[...terms, bracketed(bias)].join(" + ")} = `, number(value, 4)];
  return { value, line: element("p", {}, ...line) };
}

function indexed(name, index) {
  return [element("i", {}, name), element("sub", {}, index)];
}

/** A number within a sum. */
function bracketed(value) {
  return value < 0 ? `(${text(value, 4)})` : text(value, 4);
}
