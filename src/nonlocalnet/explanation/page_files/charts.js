// Small charts as SVG elements, and numbers as people read them.

const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function html(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

const percent = (share) => {
  const value = 100 * share;
  return `${value >= 99.95 || value === 0 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toPrecision(2)} %`;
};

const number = (value) => {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1000 && size < 1e6) return value.toFixed(0);
  return size >= 1000 || size < 0.001 ? value.toExponential(1) : value.toPrecision(size >= 100 ? 3 : 2);
};

// A bar of a share of the whole width.
function shareBar(share) {
  const bar = svg("svg", { viewBox: "0 0 100 5", width: "100%", height: 5, preserveAspectRatio: "none", "aria-hidden": "true" });
  bar.append(svg("rect", { width: 100, height: 5, fill: "var(--line)" }), svg("rect", { class: "weight", width: 100 * Math.min(share, 1), height: 5 }));
  return bar;
}

// Bars with, where given, an outline to compare with; `label` is read out.
function barChart({ values, uniform, from, to, label, marked }) {
  const width = 230, height = 74, base = 58;
  const most = Math.max(...values, ...(uniform ?? []), 1e-12);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", role: "img", "aria-label": label });
  const step = width / values.length;
  values.forEach((value, i) => {
    const tall = (value / most) * (base - 4);
    chart.append(svg("rect", { class: "weight", x: i * step + 0.5, y: base - tall, width: Math.max(step - 1, 0.6), height: tall }));
  });
  if (uniform) {
    const path = uniform.map((value, i) => {
      const y = (base - (value / most) * (base - 4)).toFixed(1);
      return `${i ? "L" : "M"}${(i * step).toFixed(1)} ${y}L${((i + 1) * step).toFixed(1)} ${y}`;
    });
    chart.append(svg("path", { class: "uniform", d: path.join("") }));
  }
  if (marked !== undefined) {
    const x = (marked + 0.5) * step;
    chart.append(svg("path", { class: "own", d: `M${x} ${base + 3}l-4 6h8z`, fill: "var(--ink)" }));
  }
  chart.append(svg("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }));
  chart.append(svg("text", { x: 0, y: height - 4 }, from));
  chart.append(svg("text", { x: width, y: height - 4, "text-anchor": "end" }, to));
  return chart;
}
