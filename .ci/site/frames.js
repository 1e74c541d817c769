// A slider over pictures: all frames are one image, and the slider moves it. No kernel, no library.
function ready(figure) {
  const facts = JSON.parse(figure.dataset.frames);
  const [frame, slider, label] = ["div.frame", "input", "output"].map((name) => figure.querySelector(name));
  const rows = Math.ceil(facts.labels.length / facts.columns);
  const share = (place, count) => (count > 1 ? (100 * place) / (count - 1) : 0);

  function show(k) {
    const [row, column] = [Math.floor(k / facts.columns), k % facts.columns];
    frame.style.backgroundPosition = `${share(column, facts.columns)}% ${share(row, rows)}%`;
    slider.value = k;
    label.textContent = facts.labels[k];
  }

  let timer = null;
  const button = figure.querySelector("button");
  function play() {
    if (timer) {
      clearInterval(timer);
      timer = null;
    } else {
      timer = setInterval(() => show((Number(slider.value) + 1) % facts.labels.length), 600);
    }
    button.textContent = timer ? "stop" : "play";
  }

  slider.addEventListener("input", () => show(Number(slider.value)));
  button.addEventListener("click", play);
  show(0);
}

document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("figure.frames").forEach(ready));
