// What stands beside and below the frames.

const element = (id) => document.getElementById(id);
const PIXELS = DATA.axes === 1 ? "steps" : "px";

// The words for what a block's weights are.
function wordsOf(block) {
  if (block.softmax) return { unit: "weight", words: "a softmax: the weights sum to 1" };
  if (!block.signed) return { unit: "f / N", words: "f / N: not below 0, and of any sum (no softmax)" };
  return { unit: "f / N", words: "f / N: of either sign and any sum (no softmax); red above 0, blue below" };
}

function showHeading() {
  element("title").textContent = `Where ${DATA.network} looks`;
  const many = DATA.pictures.length;
  const what = DATA.axes === 3 ? `${many} frames of ${SIZE_Y} x ${SIZE_X} pixels` : DATA.axes === 2 ? `${SIZE_Y} x ${SIZE_X} pixels` : `${SIZE_X} steps`;
  element("about").textContent = `${DATA.title}${DATA.title ? ": " : ""}${what}`;
}

function showPredictions() {
  if (!DATA.predictions.length) return;
  const rows = DATA.predictions.map(([name, share]) => {
    const row = html("div", { className: "prediction" }, html("span", { textContent: name }), html("b", { textContent: percent(share) }));
    row.append(shareBar(share));
    return row;
  });
  element("predictions").append(html("h2", { textContent: DATA.objects ? "Found" : "Prediction" }), ...rows);
}

function showTable() {
  const has = (name) => DATA.blocks.some((block) => block.survey[name] !== null);
  const columns = [
    ["block", (block) => block.name],
    ["function", (block) => block.pairwise.replace("_", " ")],
    ["positions", (block) => block.grid.slice(3 - DATA.axes).join(" x ")],
    ["keys", (block) => block.keyGrid.slice(3 - DATA.axes).join(" x ")],
    ["differ", (block) => percent(block.survey.variation)],
    ["pairs", (block) => number(block.survey.cosine)],
    [`top ${DATA.blocks[0].top} hold`, (block) => percent(block.survey.top_share)],
  ];
  if (has("space")) columns.push(["mean distance", (block) => block.survey.space ? `${number(block.survey.mean_space)} ${PIXELS}` : ""]);
  if (has("time")) {
    columns.push(["in time", (block) => `${number(block.survey.mean_time)} frames`], ["leaves its frame", (block) => percent(block.survey.leaves_frame)]);
  }
  const table = element("table");
  table.append(html("thead", {}, html("tr", {}, ...columns.map(([name]) => html("th", { textContent: name, scope: "col" })))));
  const body = html("tbody", {});
  DATA.blocks.forEach((block) => body.append(html("tr", {}, ...columns.map(([, cell]) => html("td", { textContent: cell(block) })))));
  table.append(body);
}

function showHistograms() {
  const charts = DATA.blocks.flatMap((block) =>
    [["space", PIXELS, DATA.axes === 1 ? "along the signal" : "within the frame"], ["time", "frames", "in time"]].flatMap(([kind, unit, where]) => {
      const of = block.survey[kind];
      if (!of) return [];
      const mean = number(block.survey[`mean_${kind}`]);
      const chart = barChart({
        values: of.weights, uniform: of.uniform, from: "0", to: `${number(of.edges[of.edges.length - 1])} ${unit}`,
        label: `Weight by distance ${where} in ${block.name}; mean ${mean} ${unit}`,
      });
      return [html("figure", {}, chart, html("figcaption", { textContent: `${block.name}: distance ${where}, mean ${mean} ${unit}` }))];
    }));
  element("histograms").append(...charts);
}

function showByFrame(block, weights, frame) {
  const panel = element("by-frame");
  panel.replaceChildren();
  const [kt, kh, kw] = block.keyGrid;
  if (kt < 2) return;
  const sums = new Array(kt).fill(0);
  let all = 0;
  weights.forEach((weight, key) => {
    if (weight !== weight) return;
    sums[Math.floor(key / (kh * kw))] += Math.abs(weight);
    all += Math.abs(weight);
  });
  const marked = Math.min(Math.floor(((frame + 0.5) / DATA.size[0]) * kt), kt - 1);
  const chart = barChart({
    values: sums.map((sum) => (all > 0 ? sum / all : 0)), from: "frame 0", to: `${DATA.size[0] - 1}`, marked,
    label: "Share of the chosen position's weight in each frame",
  });
  panel.append(html("h2", { textContent: "Weight by frame" }), chart, html("div", { className: "caption", textContent: "the triangle marks the chosen position" }));
}

function showStrongest(block, strongest) {
  const rows = strongest.map(({ key, weight }, i) => {
    const [t, y, x] = keyCentre(block, key);
    const place = [...(DATA.axes === 3 ? [frameOf(t)] : []), ...(DATA.axes > 1 ? [Math.round(y)] : []), Math.round(x)];
    return html("tr", {}, ...[i + 1, ...place, number(weight)].map((cell) => html("td", { textContent: cell })));
  });
  const heads = ["", ...(DATA.axes === 3 ? ["frame"] : []), ...(DATA.axes > 1 ? ["y"] : []), "x", wordsOf(block).unit];
  const table = html("table", {}, html("thead", {}, html("tr", {}, ...heads.map((name) => html("th", { textContent: name })))), html("tbody", {}, ...rows));
  element("strongest").querySelector("div").replaceChildren(table);
}

function showLegend(block, most) {
  const { words, unit } = wordsOf(block), { signed } = block;
  const canvas = html("canvas", { width: 160, height: 1 });
  const pen = canvas.getContext("2d");
  for (let i = 0; i < 160; i++) {
    pen.fillStyle = css(colour(signed ? i / 79.5 - 1 : i / 159, signed));
    pen.fillRect(i, 0, 1, 1);
  }
  const low = html("span", { textContent: signed ? number(-most) : "0" });
  element("legend").replaceChildren(low, canvas, html("span", { textContent: `${number(most)} ${unit}` }), html("span", { textContent: `(${words})` }));
}

function showExactness(block) {
  const { said, queries, grid, rule } = block;
  const every = product(queries.map((axis) => axis.length)) === product(grid);
  const coarse = every ? "" : ` Of its ${product(grid)} positions ${product(queries.map((axis) => axis.length))} can be asked, so that the page stays small; the nearest is taken.`;
  const how = {
    softmax: () => `This page computes a row from theta and phi, held in ${said.directions} of ${said.of} directions with ${said.bits} bits`,
    product: () => `This page computes a row from theta and phi, held in ${said.directions} of ${said.of} directions with ${said.bits} bits`,
    sums: () => "This page computes a row from the two numbers of each position that decide it, held as they are",
    rows: () => `This page holds the rows with ${said.bits} bits`,
  }[rule]();
  const apart = said.mean_error === undefined ? "." : `; of ${said.measured_on} rows compared, ${percent(said.mean_error)} of the weight lies elsewhere than in the exact row on the mean, ${percent(said.most_error)} at most.`;
  const guessed = block.cells.slice(3 - DATA.axes).every((axis) => axis.measured) ? "" : " Where its positions lie in the picture is not known from the network's layers; they are drawn as equal shares.";
  element("exactness").textContent = `${block.name}: ${how}${apart} The strongest positions and their weights are the network's own.${coarse}${guessed}`;
}
