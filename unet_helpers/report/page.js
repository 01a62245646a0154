"use strict";
// The slider of the report. Each case is one PNG: red is the grey value, green at how many thresholds the pixel is
// predicted to be stone, blue whether it is. So every position of the slider draws exactly the mask of the evaluation
// at that threshold. Its scores were computed with the page and only looked up here.
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const get = id => document.getElementById(id);
  const [canvas, select, threshold, zoom] = ["picture", "case", "threshold", "zoom"].map(get);
  const tiles = document.querySelectorAll("button.tile[data-case]");
  const LONG_SIDE = 576, KINDS = ["", "miss", "false alarm", "hit"], DASH = {solid: 0, dashed: 2, dotted: 1};
  let shown = null;

  async function open(index) {
    const image = new Image();
    image.src = data.cases[index].png;
    await image.decode();
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    const scratch = document.createElement("canvas");
    [scratch.width, scratch.height] = [width, height];
    const context = scratch.getContext("2d", {willReadFrequently: true});
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, width, height);
    const before = shown;
    const channel = k => Uint8Array.from({length: width * height}, (_, i) => pixels.data[4 * i + k]);
    const [grey, code, stone] = [0, 1, 2].map(channel);
    grey.forEach((value, i) => pixels.data.fill(value, 4 * i, 4 * i + 3));
    context.putImageData(pixels, 0, 0);  // the scratch canvas now holds the grey image
    shown = {...data.cases[index], index, width, height, code, stone, image: scratch};
    if (!before || Number(threshold.value) === before.start) threshold.value = shown.start;
    select.value = index;
    tiles.forEach(tile => tile.setAttribute("aria-pressed", tile.dataset.case === String(index)));
    draw();
  }

  function draw() {
    if (!shown) return;
    const step = Number(threshold.value), {n_sections} = shown;
    const [n_found, n_alarms] = [shown.n_found[step], shown.n_alarms[step]], score = shown.dice[step] ?? NaN;
    const value = data.thresholds[step].toFixed(2);
    threshold.setAttribute("aria-valuetext", value);
    get("threshold-value").textContent = value;
    get("zoom-value").textContent = `${zoom.value} x`;
    const live = get("live");
    live.textContent = `Dice ${Number.isNaN(score) ? "none" : score.toFixed(3)}. Sections found ${n_found} of `
      + `${n_sections}, missed ${n_sections - n_found}. False alarms ${n_alarms}.`;
    Object.assign(live.dataset, {dice: score, n_found, n_sections, n_alarms, case: shown.index});  // for tests
    paint(step);
    canvas.setAttribute("aria-label", `${shown.name} at threshold ${value}: ${live.textContent}`);
  }

  function paint(step) {
    const {width, height, code, stone, focus, image} = shown, scale = LONG_SIDE / Math.max(width, height);
    [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
    const context = canvas.getContext("2d"), side = scale * Number(zoom.value);
    const start = (middle, seen, whole) => Math.min(Math.max(middle + 0.5 - seen / 2, 0), whole - seen);
    const top = start(focus[0], canvas.height / side, height);
    const left = start(focus[1], canvas.width / side, width);
    context.setTransform(side, 0, 0, side, -left * side, -top * side);
    context.drawImage(image, 0, 0);
    const kind = i => i < 0 ? 0 : (stone[i] > 0) + 2 * (code[i] > step);
    for (let i = 0; i < code.length; i++) {
      if (!kind(i)) continue;
      const {colour, line, width_px} = data.styles[KINDS[kind(i)]], row = Math.floor(i / width), column = i % width;
      context.fillStyle = `rgba(${colour.join()}, 0.3)`;
      context.fillRect(column, row, 1, 1);
      if (DASH[line] && (Math.floor(row / DASH[line]) + Math.floor(column / DASH[line])) % 2) continue;
      context.strokeStyle = `rgb(${colour.join()})`;
      context.lineWidth = width_px / side;
      const edges = [[row > 0 ? i - width : -1, 0, 0, 1, 0], [row < height - 1 ? i + width : -1, 0, 1, 1, 1],
                     [column > 0 ? i - 1 : -1, 0, 0, 0, 1], [column < width - 1 ? i + 1 : -1, 1, 0, 1, 1]];
      for (const [neighbour, x0, y0, x1, y1] of edges) {
        if (kind(neighbour) >= kind(i)) continue;
        context.beginPath();
        context.moveTo(column + x0, row + y0);
        context.lineTo(column + x1, row + y1);
        context.stroke();
      }
    }
  }

  data.cases.forEach((one, index) => select.add(new Option(one.name, index)));
  threshold.max = data.thresholds.length - 1;
  const reset = () => { if (shown) threshold.value = shown.start; draw(); };
  for (const slider of [threshold, zoom]) slider.addEventListener("input", draw);
  select.addEventListener("change", () => open(Number(select.value)));
  get("reset").addEventListener("click", reset);
  tiles.forEach(tile => tile.addEventListener("click", async () => {
    await open(Number(tile.dataset.case));
    get("viewer").scrollIntoView({block: "nearest"});
  }));
  open(0);
})();
