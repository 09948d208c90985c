// What all figures share: how one is loaded, and what it is made of. No framework, no other site.

/**
 * Shows a figure in its place of the page, which until then has what is shown without scripts.
 * `draw(networks, data, words)` returns the elements; networks are by name, `data` is what the
 * build says of them, and `words` are those of the page's language. All numbers that a figure shows
 * are in `data-value`: `make docs-check` compares them with the build's.
 */
export async function figure(name, words, draw) {
  const place = document.querySelector(`[data-live="${name}"]`);
  const data = await (await fetch(new URL(`models/${name}.json`, import.meta.url))).json();
  const loaded = data.networks.map(async (network) => {
    const { load } = await import(`./models/${name}_${network}.js`);
    return [network, await load()];
  });
  const networks = Object.fromEntries(await Promise.all(loaded));
  const own = words[document.documentElement.lang.startsWith("zh") ? "zh" : "en"];
  const group = element("div", { class: "live", role: "group", "aria-label": own.title });
  group.append(...draw(networks, data, own));
  place.replaceChildren(group);
  place.dataset.ready = "";
}

/** What a network gives for rows of numbers: a row for each, from a new stream. */
export function run(network, rows) {
  const stream = network.stream();
  const found = rows.map((row) => [...stream.step(row)]);
  stream.free();
  return found;
}

/** A vector with a 1 at the place of a character. */
export function oneHot(characters, character) {
  return Array.from(characters, (other) => Number(other === character));
}

/** Scores as probabilities. */
export function softmax(logits) {
  const most = Math.max(...logits);
  const exps = logits.map((logit) => Math.exp(logit - most));
  const sum = exps.reduce((a, b) => a + b);
  return exps.map((value) => value / sum);
}

/** Columns of numbers from rows of numbers. */
export function transposed(rows) {
  return (rows[0] ?? []).map((_, i) => rows.map((row) => row[i]));
}

/** An element with attributes, listeners such as `onclick`, and children: elements or text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A number as text, with a true minus. */
export function text(value, digits) {
  return value.toFixed(digits).replace("-", "−");
}

/** A number in an element, to be read and checked. */
export function number(value, digits) {
  return element("span", { "data-value": value }, text(value, digits));
}

/** Attributes of a number's colour: blue above zero, red below, pale near it; `most` is full. */
export function colour(value, most = 1) {
  const strength = Math.min(Math.abs(value) / most, 1);
  return { class: value < 0 ? "below" : "above", style: `--strength: ${strength.toFixed(3)}` };
}

/**
 * A table of numbers as colours. `rows` are pairs of a heading and numbers. With `choose(row,
 * column)` each number is a button.
 */
export function heat({ caption, columns, rows, digits = 2, choose }) {
  const head = columns.map((column) => element("th", { scope: "col" }, column));
  const lines = rows.map(([heading, values], row) => {
    const cells = values.map((value, column) => {
      const shown = text(value, digits);
      const click = () => choose(row, column);
      const inside = choose ? element("button", { type: "button", onclick: click }, shown) : shown;
      return element("td", { "data-value": value, ...colour(value) }, inside);
    });
    return element("tr", {}, element("th", { scope: "row" }, heading), ...cells);
  });
  const top = element("thead", {}, element("tr", {}, element("td"), ...head));
  const table = element("table", { class: "heat" }, top, element("tbody", {}, ...lines));
  // A wide table scrolls by itself, by the keyboard too; its caption does not.
  const wide = { class: "wide", tabindex: "0", role: "region", "aria-label": caption };
  return element("div", {}, element("p", {}, caption), element("div", wide, table));
}

/** Characters side by side: of each, what is below it, such as a tag, and attributes. */
export function flow(label, characters) {
  const items = characters.map(([character, below, attributes]) => {
    const small = element("small", {}, below);
    return element("span", { role: "listitem", ...attributes }, character, small);
  });
  return element("div", { class: "flow", role: "list", "aria-label": label }, ...items);
}

/**
 * A text field; `changed(pieces)` is called with the pieces of the text that match `pattern`. The
 * rest is left out, and the field says so: `skipped(count)` is how. `keys` are characters that a
 * reader's keyboard may lack: each has a button, and the last one `erase`.
 */
export function field({ label, value, pattern, keys = "", words, changed }) {
  const input = element("input", { value, autocomplete: "off", spellcheck: "false" });
  const note = element("span", { class: "note", role: "status" });
  const read = () => {
    const pieces = input.value.match(pattern) ?? [];
    const count = input.value.length - pieces.join("").length;
    note.textContent = count ? words.skipped(count) : "";
    changed(pieces);
    for (const wide of input.closest(".live")?.querySelectorAll(".wide") ?? []) {
      wide.scrollLeft = wide.scrollWidth; // to what was typed last
    }
  };
  const put = (...edit) => {
    input.setRangeText(...edit, "end");
    input.dispatchEvent(new Event("input"));
  };
  const buttons = Array.from(keys, (key) => {
    const click = () => put(key, input.selectionStart, input.selectionEnd);
    return element("button", { type: "button", onclick: click }, key);
  });
  if (keys) {
    const click = () => put("", Math.max(input.selectionStart - 1, 0), input.selectionEnd);
    const erase = { type: "button", "aria-label": words.erase, onclick: click };
    buttons.push(element("button", erase, "⌫"));
  }
  input.addEventListener("input", read);
  const labelled = element("label", {}, label, input);
  const line = element("div", { class: "field" }, labelled, element("div", {}, ...buttons), note);
  return { line, input, read };
}
