// What the page knows, and the weights of a position: decoded and computed when they are asked for.

const DATA = JSON.parse(document.getElementById("data").textContent);
const ARRAYS = { Int8Array, Uint8Array, Int16Array, Uint16Array, Uint32Array, Float32Array };

// In the rule "rows": a key that the position is not summed over, which no weight is stored as.
const NOT_LOOKED_AT = -128;

const decoded = new Map();

// An array of a block, as its type; decoded once.
function array(index, name) {
  const id = `block-${index}-${name}`;
  if (!decoded.has(id)) {
    const text = atob(document.getElementById(id).textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    decoded.set(id, new ARRAYS[DATA.blocks[index].arrays[name]](bytes.buffer));
  }
  return decoded.get(id);
}

const product = (sizes) => sizes.reduce((all, size) => all * size, 1);

// Number of the stored query whose coordinate is nearest along one axis.
function nearestOf(coordinates, position) {
  let best = 0;
  for (let i = 1; i < coordinates.length; i++) {
    if (Math.abs(coordinates[i] - position) < Math.abs(coordinates[best] - position)) best = i;
  }
  return best;
}

// The row in which a stored query [t, y, x] (numbers into block.queries) is held.
function rowNumber(block, query) {
  return (query[0] * block.queries[1].length + query[1]) * block.queries[2].length + query[2];
}

// Where a stored query lies on the block's grid.
const gridPosition = (block, query) => query.map((at, axis) => block.queries[axis][at]);

// Which keys a position of the grid may look at: a test of key coordinates.
function mayLook(block, position) {
  const inDomain = mayLookInDomain(block, position), axis = block.causalAxis;
  if (axis === null) return inDomain;
  // A key that was pooled counts once its whole window is at or before the position.
  return (...key) => (key[axis] + 1) * block.keyStride[axis] - 1 <= position[axis] && inDomain(...key);
}

function mayLookInDomain(block, position) {
  const [t, y, x] = position;
  const [st] = block.keyStride;
  if (block.domain === "space") return (kt) => kt === t;
  const group = block.groupFrames;
  const inGroup = group === null ? () => true : (kt) => Math.floor((kt * st) / group) === Math.floor(t / group);
  if (block.domain === "time") return (kt, ky, kx) => inGroup(kt) && ky === y && kx === x;
  return inGroup;
}

// The weights of a stored query over all keys: a Float32Array, NaN where it may not look.
function weightsOf(index, query) {
  const block = DATA.blocks[index];
  const row = rowNumber(block, query);
  const count = product(block.keyGrid);
  const weights = new Float32Array(count);
  const may = mayLook(block, gridPosition(block, query));
  const kept = block.arrays.kept ? array(index, "kept") : null;
  const [, kh, kw] = block.keyGrid;
  let summed = 0;
  for (let key = 0; key < count; key++) {
    const inSet = may(Math.floor(key / (kh * kw)), Math.floor(key / kw) % kh, key % kw);
    if (!inSet || (kept && !kept[key])) weights[key] = NaN;
    else summed++;
  }
  RULES[block.rule](index, row, weights, summed);
  return weights;
}

// One entry a rule of packing.py: fills in the weights of the keys that are not NaN.
const RULES = {
  softmax(index, row, weights) {
    products(index, row, weights);
    let most = -Infinity;
    for (const logit of weights) if (logit > most) most = logit;
    let sum = 0;
    for (let key = 0; key < weights.length; key++) {
      weights[key] = Math.exp(weights[key] - most);
      if (weights[key] === weights[key]) sum += weights[key];
    }
    for (let key = 0; key < weights.length; key++) weights[key] /= sum;
  },
  product(index, row, weights, summed) {
    products(index, row, weights);
    for (let key = 0; key < weights.length; key++) weights[key] /= Math.max(summed, 1);
  },
  sums(index, row, weights, summed) {
    const a = array(index, "a")[row];
    const b = array(index, "b");
    for (let key = 0; key < weights.length; key++) {
      if (weights[key] === weights[key]) weights[key] = Math.max(a + b[key], 0) / Math.max(summed, 1);
    }
  },
  rows(index, row, weights) {
    const rows = array(index, "rows");
    const worth = array(index, "most")[row] / 127;
    for (let key = 0; key < weights.length; key++) {
      const stored = rows[row * weights.length + key];
      if (weights[key] === weights[key]) weights[key] = stored === NOT_LOOKED_AT ? NaN : stored * worth;
    }
  },
};

// theta . phi for the keys that are not NaN.
function products(index, row, weights) {
  const theta = array(index, "theta"), phi = array(index, "phi");
  const thetaWorth = array(index, "theta_worth"), phiWorth = array(index, "phi_worth");
  const directions = thetaWorth.length;
  const query = new Float32Array(directions);
  for (let d = 0; d < directions; d++) query[d] = theta[row * directions + d] * thetaWorth[d] * phiWorth[d];
  for (let key = 0; key < weights.length; key++) {
    if (weights[key] !== weights[key]) continue;
    let sum = 0;
    for (let d = 0, at = key * directions; d < directions; d++, at++) sum += query[d] * phi[at];
    weights[key] = sum;
  }
}

// The strongest keys of a stored query, as they were computed from all weights: [{key, weight}].
function strongestOf(index, query) {
  const block = DATA.blocks[index];
  const begin = rowNumber(block, query) * block.top;
  const keys = array(index, "top"), weights = array(index, "top_weights");
  const found = [];
  for (let i = begin; i < begin + block.top; i++) {
    if (keys[i] < product(block.keyGrid)) found.push({ key: keys[i], weight: weights[i] });
  }
  return found;
}

const shareOf = (index, query) => array(index, "shares")[rowNumber(DATA.blocks[index], query)];

// The pixels [start, end) along an axis that so many positions from one on stand for.
function span(cells, position, positions) {
  const start = cells.first + cells.stride * position - cells.stride / 2;
  const clip = (pixel) => Math.min(Math.max(pixel, 0), cells.length);
  return [clip(start), clip(start + cells.stride * positions)];
}

const centre = (cells, position) => cells.first + cells.stride * position;

// [t, y, x] of a key on the key grid.
function keyPosition(block, key) {
  const [, kh, kw] = block.keyGrid;
  return [Math.floor(key / (kh * kw)), Math.floor(key / kw) % kh, key % kw];
}

// The middle of a key's positions, in frames and pixels.
function keyCentre(block, key) {
  return keyPosition(block, key).map((at, axis) => {
    const stride = block.keyStride[axis];
    return centre(block.cells[axis], at * stride + (stride - 1) / 2);
  });
}

const frameOf = (t) => Math.min(Math.max(Math.floor(t), 0), DATA.pictures.length - 1);
