// The view as a file: an SVG with pictures, weights and arrows, and the same as PNG.

function viewAsSvg(caption) {
  const width = strip.clientWidth, height = strip.clientHeight + 26;
  const view = svg("svg", { xmlns: SVG, viewBox: `0 0 ${width} ${height}`, width, height });
  view.append(svg("rect", { width, height, fill: "#ffffff" }));
  for (const tile of tiles) {
    const place = { x: tile.offsetLeft, y: tile.offsetTop, width: tile.offsetWidth, height: tile.offsetHeight, preserveAspectRatio: "none" };
    view.append(svg("image", { ...place, href: tile.querySelector("img").src }));
    view.append(svg("image", { ...place, href: tile.querySelector("canvas").toDataURL("image/png") }));
  }
  view.append(...[...arrowLayer.children].map((child) => child.cloneNode(true)));
  view.append(svg("text", { x: 4, y: height - 8, "font-family": "sans-serif", "font-size": 13, fill: "#1d2129" }, caption));
  return new XMLSerializer().serializeToString(view);
}

function saveAs(blob, name) {
  const link = html("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const safeName = (block) => `${DATA.title || "look"}-${block.name}`.replace(/[^\w.-]+/g, "_").slice(0, 80);

function saveSvg(block, caption) {
  saveAs(new Blob([viewAsSvg(caption)], { type: "image/svg+xml" }), `${safeName(block)}.svg`);
}

async function savePng(block, caption) {
  const source = URL.createObjectURL(new Blob([viewAsSvg(caption)], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = html("canvas", { width: image.width * 2, height: image.height * 2 });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => saveAs(blob, `${safeName(block)}.png`), "image/png");
  } finally {
    URL.revokeObjectURL(source);
  }
}
