// The state: which block, which position; it stands in the address, and everything is drawn from it.

const state = { block: DATA.blocks.length - 1, frame: 0, query: [0, 0, 0], heat: true, arrows: true };

// The stored query nearest to a place in a frame.
function ask(frame, y, x) {
  const block = DATA.blocks[state.block];
  state.frame = Math.min(Math.max(frame, 0), tiles.length - 1);
  const pixels = [state.frame + 0.5, y, x];
  state.query = pixels.map((pixel, axis) => nearestOf(block.queries[axis], (pixel - block.cells[axis].first) / block.cells[axis].stride));
}

// Where the query lies, in frames and pixels.
function asked() {
  const block = DATA.blocks[state.block];
  return gridPosition(block, state.query).map((at, axis) => centre(block.cells[axis], at));
}

function chooseBlock(index) {
  const [, y, x] = asked();
  state.block = Math.min(Math.max(index, 0), DATA.blocks.length - 1);
  ask(state.frame, y, x);
  draw();
}

let caption = "";
const EVEN = 4; // times the mean weight: the scale reaches so far at least

function draw() {
  const block = DATA.blocks[state.block];
  const position = gridPosition(block, state.query);
  const weights = weightsOf(state.block, state.query);
  const strongest = strongestOf(state.block, state.query);
  const { signed } = block;
  let largest = 0, all = 0, outside = 0, summed = 0;
  const ownKey = Math.floor(position[0] / block.keyStride[0]), perFrame = block.keyGrid[1] * block.keyGrid[2];
  weights.forEach((weight, key) => {
    if (weight !== weight) return;
    largest = Math.max(largest, Math.abs(weight));
    summed++;
    all += Math.abs(weight);
    if (Math.floor(key / perFrame) !== ownKey) outside += Math.abs(weight);
  });
  // Equal weights are to look even and dark, not all as if they were the strongest.
  const most = Math.max(largest, (EVEN * all) / Math.max(summed, 1));
  drawHeat(block, weights, most, signed, state.heat);
  drawArrows(block, position, state.frame, strongest, state.arrows);
  showLegend(block, most);
  showByFrame(block, weights, state.frame);
  showStrongest(block, strongest);
  showExactness(block);
  [...element("blocks").children].forEach((button, i) => {
    button.setAttribute("aria-checked", i === state.block);
    button.tabIndex = i === state.block ? 0 : -1;
  });
  [...element("table").querySelectorAll("tbody tr")].forEach((row, i) => row.setAttribute("aria-current", i === state.block));
  const [, y, x] = asked().map(Math.round);
  const where = [DATA.axes === 3 ? `frame ${state.frame}` : "", DATA.axes > 1 ? `y ${y}` : "", `x ${x}`].filter(Boolean).join(", ");
  const leaves = block.keyGrid[0] > 1 && all > 0 ? `; ${percent(outside / all)} of its weight leaves the frame` : "";
  const reached = all > 0 ? `the ${strongest.length} strongest hold ${percent(shareOf(state.block, state.query))}${leaves}` : "it looks nowhere: all weights are 0";
  caption = `${block.name} at ${where}: ${reached}`;
  element("status").textContent = caption;
  rememberState();
}

function rememberState() {
  const [, y, x] = asked().map(Math.round);
  const parts = { b: state.block, f: state.frame, y, x };
  if (!state.heat) parts.h = 0;
  if (!state.arrows) parts.a = 0;
  history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
}

function recallState() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const whole = (name, otherwise) => (/^\d{1,6}$/.test(parts.get(name) ?? "") ? Number(parts.get(name)) : otherwise);
  state.block = Math.min(whole("b", DATA.blocks.length - 1), DATA.blocks.length - 1);
  state.heat = parts.get("h") !== "0";
  state.arrows = parts.get("a") !== "0";
  element("heat").checked = state.heat;
  element("arrows").checked = state.arrows;
  ask(whole("f", Math.floor(tiles.length / 2)), whole("y", Math.floor(SIZE_Y / 2)), whole("x", Math.floor(SIZE_X / 2)));
}

function move(axis, by) {
  const block = DATA.blocks[state.block];
  const last = block.queries[axis].length - 1;
  state.query[axis] = Math.min(Math.max(state.query[axis] + by, 0), last);
  draw();
}

function moveFrame(by) {
  const [, y, x] = asked();
  ask(state.frame + by, y, x);
  draw();
}

const KEYS = {
  ArrowLeft: () => move(2, -1), ArrowRight: () => move(2, 1), ArrowUp: () => move(1, -1), ArrowDown: () => move(1, 1),
  PageUp: () => moveFrame(-1), PageDown: () => moveFrame(1), ",": () => moveFrame(-1), ".": () => moveFrame(1),
  "[": () => chooseBlock(state.block - 1), "]": () => chooseBlock(state.block + 1),
  h: () => element("heat").click(), a: () => element("arrows").click(),
};

strip.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = KEYS[event.key] ?? (/^[1-9]$/.test(event.key) ? () => chooseBlock(Number(event.key) - 1) : null);
  if (!act) return;
  event.preventDefault();
  act();
});

function askAt(event) {
  const tile = document.elementFromPoint(event.clientX, event.clientY)?.closest(".tile");
  if (!tile) return;
  const box = tile.getBoundingClientRect();
  ask(Number(tile.dataset.frame), ((event.clientY - box.top) / box.height) * SIZE_Y, ((event.clientX - box.left) / box.width) * SIZE_X);
  requestAnimationFrame(draw);
}

let dragging = false;
strip.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  dragging = true;
  strip.focus({ preventScroll: true });
  askAt(event);
});
addEventListener("pointermove", (event) => dragging && askAt(event));
for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => (dragging = false));

DATA.blocks.forEach((block, index) => {
  const button = html("button", { type: "button", textContent: block.name }, html("small", { textContent: block.grid.slice(3 - DATA.axes).join(" x ") }));
  button.setAttribute("role", "radio");
  button.addEventListener("click", () => chooseBlock(index));
  button.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    chooseBlock((index + by + DATA.blocks.length) % DATA.blocks.length);
    element("blocks").children[state.block].focus();
  });
  element("blocks").append(button);
});

for (const name of ["heat", "arrows"]) {
  element(name).addEventListener("change", (event) => {
    state[name] = event.target.checked;
    draw();
  });
}
element("save-svg").addEventListener("click", () => saveSvg(DATA.blocks[state.block], caption));
element("save-png").addEventListener("click", () => savePng(DATA.blocks[state.block], caption));

const root = document.documentElement;
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
const showTheme = () => element("theme").setAttribute("aria-pressed", isDark());
element("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
});

const size = element("size");
if (DATA.axes === 3) {
  size.value = Math.max(56, Math.min(176, Math.round(Math.sqrt((strip.clientWidth * 560) / tiles.length)) - 6));
  setTileWidth(Number(size.value));
} else {
  element("size-label").hidden = true;
  setTileWidth(DATA.axes === 1 ? 1e6 : Math.max(DATA.picture[1], 640));
}
size.addEventListener("input", () => {
  setTileWidth(Number(size.value));
  draw();
});
addEventListener("resize", () => {
  setTileWidth(DATA.axes === 3 ? Number(size.value) : DATA.axes === 1 ? 1e6 : Math.max(DATA.picture[1], 640));
  draw();
});
addEventListener("hashchange", () => {
  recallState();
  draw();
});

showTheme();
showHeading();
showPredictions();
showTable();
showHistograms();
recallState();
draw();

// For those who look with the browser's console, and for tests.
window.explanation = Object.freeze({ data: DATA, weightsOf, strongestOf });
