// The frames: pictures, weights over them, and arrows to the strongest positions.

const strip = document.getElementById("strip");
const arrowLayer = svg("svg", { "aria-hidden": "true" });
const [, SIZE_Y, SIZE_X] = DATA.size;
const ARROW = "#ffd23f", ASKED = "#ff3b30";

// Colours of weights: [red, green, blue, opacity] of a share of the largest, from -1 to 1.
const RAMP = [[70, 10, 105], [165, 40, 95], [229, 92, 48], [252, 173, 18], [252, 255, 164]];
function colour(share, signed) {
  const size = Math.min(Math.abs(share), 1);
  if (signed) return share >= 0 ? [214, 48, 39, 0.85 * size] : [49, 104, 210, 0.85 * size];
  const at = size * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  return [...RAMP[low].map((from, i) => from + (RAMP[low + 1][i] - from) * (at - low)), 0.1 + 0.72 * size];
}
const css = ([red, green, blue, opacity]) => `rgba(${red | 0},${green | 0},${blue | 0},${opacity.toFixed(3)})`;

const frameName = (frame) => {
  const seconds = DATA.seconds ? `, ${DATA.seconds[frame].toFixed(2)} s` : "";
  return DATA.axes === 3 ? `frame ${frame}${seconds}` : DATA.axes === 2 ? "the image" : "the signal";
};

const tiles = DATA.pictures.map((source, frame) => {
  const image = html("img", { src: source, alt: `${frameName(frame)} of ${DATA.title}`, draggable: false });
  const scale = Math.max(1, Math.min(2, 512 / Math.max(...DATA.picture)));
  const canvas = html("canvas", { width: DATA.picture[1] * scale, height: DATA.picture[0] * scale });
  canvas.setAttribute("aria-hidden", "true");
  const tile = html("figure", { className: "tile" }, image, canvas);
  if (DATA.axes === 3) tile.append(html("figcaption", { textContent: frame }));
  tile.dataset.frame = frame;
  return tile;
});
strip.append(...tiles, arrowLayer);

function setTileWidth(width) {
  const most = strip.clientWidth - 4;
  for (const tile of tiles) {
    tile.style.width = `${Math.min(width, most)}px`;
    // A signal is as wide as the page, however long it is.
    if (DATA.axes === 1) tile.style.height = "180px";
    else tile.style.aspectRatio = `${DATA.picture[1]} / ${DATA.picture[0]}`;
  }
}

// Weights of one query over the frames; `most` is the size of the largest.
function drawHeat(block, weights, most, signed, shown) {
  const cellsOfFrame = tiles.map(() => []);
  const [kt, kh, kw] = block.keyGrid, [st, sy, sx] = block.keyStride;
  for (let t = 0; t < kt && shown; t++) {
    const [start, end] = span(block.cells[0], t * st, st);
    for (let frame = 0; frame < tiles.length; frame++) {
      if (frame + 0.5 >= start && frame + 0.5 < end) cellsOfFrame[frame].push(t);
    }
  }
  tiles.forEach((tile, frame) => {
    const canvas = tile.querySelector("canvas"), pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const across = canvas.width / SIZE_X, down = canvas.height / SIZE_Y;
    for (const t of cellsOfFrame[frame]) {
      for (let y = 0; y < kh; y++) {
        const [top, bottom] = span(block.cells[1], y * sy, sy).map((pixel) => Math.round(pixel * down));
        for (let x = 0; x < kw; x++) {
          const weight = weights[(t * kh + y) * kw + x];
          if (weight !== weight) continue;
          const [left, right] = span(block.cells[2], x * sx, sx).map((pixel) => Math.round(pixel * across));
          pen.fillStyle = css(colour(most > 0 ? weight / most : 0, signed));
          pen.fillRect(left, top, right - left, bottom - top);
        }
      }
    }
  });
}

// Where a place of a frame lies in the strip.
function placeInStrip(frame, y, x) {
  const tile = tiles[frame];
  return [tile.offsetLeft + (x / SIZE_X) * tile.offsetWidth, tile.offsetTop + (y / SIZE_Y) * tile.offsetHeight];
}

function drawArrows(block, position, frame, strongest, shown) {
  arrowLayer.replaceChildren();
  arrowLayer.setAttribute("width", strip.clientWidth);
  arrowLayer.setAttribute("height", strip.clientHeight);
  const from = placeInStrip(frame, centre(block.cells[1], position[1]), centre(block.cells[2], position[2]));
  const most = Math.max(...strongest.map(({ weight }) => weight), 0);
  if (shown) {
    for (const { key, weight } of [...strongest].reverse()) {
      if (weight > 0) arrowLayer.append(arrowTo(from, block, key, weight / most));
    }
  }
  const [top, bottom] = span(block.cells[1], position[1], 1), [left, right] = span(block.cells[2], position[2], 1);
  const [x, y] = placeInStrip(frame, top, left), [x2, y2] = placeInStrip(frame, bottom, right);
  const frameOfQuery = { x, y, width: Math.max(x2 - x, 3), height: Math.max(y2 - y, 3), fill: "none" };
  arrowLayer.append(svg("rect", { ...frameOfQuery, stroke: "#fff", "stroke-width": 4 }));
  arrowLayer.append(svg("rect", { ...frameOfQuery, stroke: ASKED, "stroke-width": 2, class: "asked" }));
}

function arrowTo(from, block, key, share) {
  const [t, y, x] = keyCentre(block, key);
  const to = placeInStrip(frameOf(t), y, x);
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(dx, dy);
  const bend = length > 24 ? 0.12 : 0;
  const middle = [from[0] + dx / 2 - dy * bend, from[1] + dy / 2 + dx * bend];
  const angle = Math.atan2(to[1] - middle[1], to[0] - middle[0]);
  const head = 4 + 4 * share;
  const side = (turn) => `${(to[0] - head * Math.cos(angle + turn)).toFixed(1)} ${(to[1] - head * Math.sin(angle + turn)).toFixed(1)}`;
  const at = (point) => `${point[0].toFixed(1)} ${point[1].toFixed(1)}`;
  const line = `M${at(from)}Q${at(middle)} ${at(to)}`;
  const group = svg("g", { class: "arrow", "data-key": key });
  group.append(svg("path", { d: line, fill: "none", stroke: "#000", "stroke-opacity": 0.1 + 0.25 * share, "stroke-width": 2.4 + 2 * share }));
  group.append(svg("path", { d: line, fill: "none", stroke: ARROW, "stroke-opacity": 0.25 + 0.75 * share, "stroke-width": 0.9 + 2 * share }));
  group.append(svg("path", { d: `M${at(to)}L${side(0.45)}L${side(-0.45)}Z`, fill: ARROW, "fill-opacity": 0.4 + 0.6 * share, stroke: "#000", "stroke-opacity": 0.4, "stroke-width": 0.6 }));
  return group;
}
