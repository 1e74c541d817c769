// Two of all stored networks on one test set: their table, its numbers, and what both say in a cell. No kernel, no library.
// `statistics` computes what `twostage_kd.statistics.Contingency` does; `check.py` compares the two.
const Z = 1.959963984540054; // the normal quantile of 95 %
const SEEN = ["a", "b", "c", "d"];
const WORDS = { a: "both right", b: "only A right", c: "only B right", d: "both wrong" };

function wilson(k, n) {
  const [share, shrink] = [k / n, 1 + (Z * Z) / n];
  const centre = (share + (Z * Z) / (2 * n)) / shrink;
  const half = (Z * Math.sqrt((share * (1 - share)) / n + (Z / (2 * n)) ** 2)) / shrink;
  return [share, k === 0 ? 0 : centre - half, k === n ? 1 : centre + half];
}

function bisect(f, low, high) {
  const sign = Math.sign(f(low));
  for (let step = 0; step < 200; step++) {
    const middle = (low + high) / 2;
    if (Math.sign(f(middle)) === sign) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function tango([a, b, c, d]) { // Tango's score interval of the difference of two accuracies
  const n = a + b + c + d;
  const excess = (delta) => {
    const linear = (2 * n - b + c) * delta - b - c;
    const root = Math.sqrt(Math.max(linear ** 2 + 8 * n * c * delta * (1 - delta), 0));
    const q = (root - linear) / (4 * n);
    return (b - c - n * delta) ** 2 - Z * Z * n * (2 * q + delta * (1 - delta));
  };
  const [centre, step] = [(b - c) / n, 1e-7 / n];
  const low = c === n ? -1 : bisect(excess, -1, centre - step);
  const high = b === n ? 1 : bisect(excess, centre + step, 1);
  return [centre, low, high];
}

function logTail(x) { // ln of the upper tail of the normal distribution at x >= 0
  if (x < 3) {
    let [term, sum] = [x, x];
    for (let k = 1; k < 200; k++) {
      term *= (x * x) / (2 * k + 1);
      sum += term;
    }
    return Math.log(0.5 - (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI));
  }
  let fraction = x;
  for (let k = 500; k > 0; k--) fraction = x + k / fraction;
  return (-x * x) / 2 - 0.5 * Math.log(2 * Math.PI) - Math.log(fraction);
}

const spread = ([a, b, c, d]) => Math.sqrt(a + b) * Math.sqrt(c + d) * Math.sqrt(a + c) * Math.sqrt(b + d);
const INDICES = {
  phi: (t) => (t[0] * t[3] - t[1] * t[2]) / spread(t),
  phi_max: ([a, b, c, d]) => {
    const [n, fewer, more] = [a + b + c + d, a + Math.min(b, c), a + Math.max(b, c)];
    return Math.sqrt((fewer * (n - more)) / (more * (n - fewer)));
  },
  kappa: ([a, b, c, d]) => (2 * (a * d - b * c)) / ((a + b) * (b + d) + (a + c) * (c + d)),
  error_independence: ([a, b, c, d]) => {
    const smaller = Math.min(b, c);
    return ((a + b + c + d) * smaller) / ((d + smaller) * (a + smaller));
  },
  error_dice_distance: ([, b, c, d]) => (b + c) / (b + c + 2 * d),
  esi: ([, b, c]) => Math.abs(b - c) / (b + c),
  oracle_accuracy: ([a, b, c, d]) => (a + b + c) / (a + b + c + d),
};

function delta(index, t) { // 95 % interval of an index by the delta method
  const n = t.reduce((x, y) => x + y);
  const shares = t.map((x) => x / n);
  const slope = shares.map((_, k) => {
    const moved = (h) => index(shares.map((x, j) => x + (j === k ? h : 0)));
    return (moved(1e-6) - moved(-1e-6)) / 2e-6;
  });
  const mean = slope.reduce((sum, s, k) => sum + s * shares[k], 0);
  const variance = slope.reduce((sum, s, k) => sum + shares[k] * (s - mean) ** 2, 0);
  const half = Z * Math.sqrt(variance / n);
  return [index(t), index(t) - half, index(t) + half];
}

function statistics(t) {
  const [a, b, c, d] = t;
  const n = a + b + c + d;
  const edwards = Math.max(Math.abs(b - c) - 1, 0) ** 2 / Math.max(b + c, 1);
  const out = {
    counts: t,
    accuracy_a: wilson(a + b, n),
    accuracy_b: wilson(a + c, n),
    difference: tango(t),
    mcnemar: [edwards, Math.min(0, (Math.log(2) + logTail(Math.sqrt(edwards))) / Math.LN10)],
  };
  for (const [name, index] of Object.entries(INDICES)) out[name] = delta(index, t);
  return out;
}

function unpacked(text) { // base64 -> one byte an image
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function element(kind, text = "", attributes = {}) {
  const made = document.createElement(kind);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const percent = (x, digits = 2) => (100 * x).toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "\u2212") + " %";
const plain = (x) => (Number.isFinite(x) ? x.toFixed(3) : "undefined");
const range = ([value, low, high], form) =>
  Number.isFinite(low) ? `${form(value)} (${form(low)} to ${form(high)})` : form(value);

function chance([statistic, log]) {
  const p = log > -4 ? (10 ** log).toPrecision(2) : `10^${log.toFixed(1)}`;
  return `${statistic.toFixed(2)}, p = ${p}`;
}

function explore(place) {
  const { records, classes } = ANSWERS;
  const truth = (i) => Math.floor(i / 100); // the test set in its order: 100 images of each class
  let cell = "b";
  let whole = false;

  const chosen = ["A", "B"].map((name, k) => {
    const label = element("label", `${name} `);
    const select = element("select", "", { "aria-label": `network ${name}` });
    records.forEach((record, i) => select.append(element("option", record.name, { value: i })));
    const wanted = place.dataset[name.toLowerCase()];
    select.value = Math.max(0, records.findIndex((record) => record.id === wanted));
    select.addEventListener("change", show);
    label.append(select);
    place.append(label);
    return select;
  });
  const counts = element("table", "", { class: "counts" });
  const numbers = element("table", "", { class: "numbers" });
  const both = element("div", "", { class: "both" });
  both.append(counts, numbers);
  const said = element("div", "", { class: "said", "aria-live": "polite" });
  place.append(both, said);

  function answers(k) {
    const record = records[Number(chosen[k].value)];
    record.bytes ??= unpacked(record.answers);
    return record.bytes;
  }

  function cellOf(i) {
    const [right, other] = [answers(0)[i] === truth(i), answers(1)[i] === truth(i)];
    return SEEN[(right ? 0 : 2) + (other ? 0 : 1)];
  }

  function draw(t) {
    const n = t.reduce((x, y) => x + y);
    const rows = [["A right", "ab"], ["A wrong", "cd"], ["all", "abcd"]];
    const columns = [["B right", "ac"], ["B wrong", "bd"], ["all", "abcd"]];
    counts.replaceChildren(element("caption", "Images. Press a cell."));
    const head = element("tr");
    head.append(element("td"), ...columns.map(([text]) => element("th", text, { scope: "col" })));
    counts.append(head);
    for (const [text, row] of rows) {
      const line = element("tr");
      line.append(element("th", text, { scope: "row" }));
      for (const [, column] of columns) {
        const inside = SEEN.filter((name) => row.includes(name) && column.includes(name));
        const count = inside.reduce((sum, name) => sum + t[SEEN.indexOf(name)], 0);
        const box = element("td");
        const words = `${count.toLocaleString("en")}\n${percent(count / n, 1)}`;
        if (inside.length === 1) {
          const pressed = inside[0] === cell;
          const button = element("button", words, { type: "button", "data-cell": inside[0], "aria-pressed": pressed });
          button.title = WORDS[inside[0]];
          button.style.backgroundColor = `hsl(212 60% ${94 - 60 * (count / n)}%)`;
          button.style.color = count / n > 0.6 ? "white" : "black";
          button.addEventListener("click", () => {
            cell = inside[0];
            show();
            counts.querySelector(`[data-cell=${cell}]`).focus();
          });
          box.append(button);
        } else {
          box.textContent = words;
        }
        line.append(box);
      }
      counts.append(line);
    }
  }

  function tell(all) {
    const rows = {
      "accuracy of A": range(all.accuracy_a, percent),
      "accuracy of B": range(all.accuracy_b, percent),
      "A less B": range(all.difference, percent),
      "error independence": range(all.error_independence, plain),
      "phi": `${range(all.phi, plain)}, at most ${plain(all.phi_max[0])}`,
      "kappa": range(all.kappa, plain),
      "error Dice distance": range(all.error_dice_distance, plain),
      "the paper's ESI": plain(all.esi[0]),
      "oracle accuracy": range(all.oracle_accuracy, percent),
      "McNemar (Edwards)": chance(all.mcnemar),
    };
    numbers.replaceChildren(element("caption", "With 95 % intervals over the test images."));
    for (const [name, value] of Object.entries(rows)) {
      const line = element("tr");
      line.append(element("th", name, { scope: "row" }), element("td", value));
      numbers.append(line);
    }
  }

  function often(tally) { // the most frequent answers of a tally
    const order = [...tally].sort((x, y) => y[1] - x[1] || x[0] - y[0]);
    const shown = order.slice(0, 3).map(([k, count]) => `${classes[k]} ${count}`);
    return shown.join(", ") + (order.length > 3 ? ", ..." : "");
  }

  function list() {
    const found = new Map();
    for (let i = 0; i < answers(0).length; i++) {
      if (cellOf(i) !== cell) continue;
      const own = found.get(truth(i)) ?? { count: 0, said: [new Map(), new Map()] };
      own.count += 1;
      own.said.forEach((tally, k) => tally.set(answers(k)[i], (tally.get(answers(k)[i]) ?? 0) + 1));
      found.set(truth(i), own);
    }
    const order = [...found].sort((x, y) => y[1].count - x[1].count || x[0] - y[0]);
    const total = order.reduce((sum, [, own]) => sum + own.count, 0);
    const title = `${WORDS[cell]}: ${total.toLocaleString("en")} images of ${order.length} classes`;
    const table = element("table");
    const head = element("tr");
    head.append(...["true class", "images of 100", "A says", "B says"].map((text) => element("th", text, { scope: "col" })));
    table.append(element("caption", title), head);
    for (const [k, own] of whole ? order : order.slice(0, 10)) {
      const line = element("tr");
      line.append(element("th", classes[k], { scope: "row" }), element("td", own.count));
      own.said.forEach((tally) => line.append(element("td", often(tally))));
      table.append(line);
    }
    const more = element("button", whole ? "ten classes" : "all classes", { type: "button", class: "more" });
    more.addEventListener("click", () => {
      whole = !whole;
      list();
    });
    said.replaceChildren(table, ...(order.length > 10 ? [more] : []));
  }

  function show() {
    const t = [0, 0, 0, 0];
    for (let i = 0; i < answers(0).length; i++) t[SEEN.indexOf(cellOf(i))] += 1;
    const all = statistics(t);
    place.dataset.statistics = JSON.stringify(all);
    draw(t);
    tell(all);
    list();
  }
  show();
}

document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll("figure.explorer")) {
    const script = element("script", "", { src: place.dataset.answers });
    script.addEventListener("load", () => explore(place));
    document.head.append(script);
  }
});
