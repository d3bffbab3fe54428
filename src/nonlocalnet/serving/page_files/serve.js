"use strict";
// One file at a time: the request that carries it stays open, and its answer comes as lines of JSON until the last one.

const at = (id) => document.getElementById(id);
const megabytes = (bytes) => `${(bytes / 1e6).toPrecision(3)} MB`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

let facts = null;
let request = null;

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function show(id, shown) {
  at(id).hidden = !shown;
}

function fail(text) {
  at("status").textContent = "";
  at("error").textContent = text;
  show("error", true);
}

function busy(name) {
  request = name === null ? null : request;
  show("progress", name !== null);
  at("drop").classList.toggle("busy", name !== null);
  at("file").disabled = name !== null;
  if (name !== null) at("sent-name").textContent = name;
}

function moved(value) {
  if (value === null) at("bar").removeAttribute("value");
  else at("bar").value = value;
}

function told(state) {
  if (state.state === "waiting") {
    at("status").textContent = `Waiting: number ${state.place} of ${state.length} in the queue.`;
  } else if (state.state === "working") {
    at("status").textContent = `Working: ${state.doing} (${Math.round(state.seconds)} s).`;
  } else if (state.state === "failed") {
    fail(state.error);
  } else {
    at("status").textContent = "Done.";
    showResult(state);
  }
}

function showResult(result) {
  at("result-title").textContent = result.file;
  at("classes").replaceChildren(...(result.classes ?? []).map(asClass));
  show("classes", result.classes !== undefined);
  at("found").replaceChildren(...(result.objects === undefined ? [] : [asTable(result.objects)]));
  at("drawing").src = result.drawing ?? "data:,";
  at("drawing").alt = result.drawing ? `${result.file} with ${result.objects.length} objects drawn` : "";
  show("drawing", result.drawing !== undefined);
  at("no-page").textContent = result.page_error ?? "";
  show("no-page", result.page_error !== undefined);
  show("explained", result.page !== undefined);
  if (result.page === undefined) at("page").removeAttribute("src");
  else at("page").src = at("open").href = result.page;
  at("kept").textContent = result.kept_seconds === undefined ? "" : `Kept for ${Math.round(result.kept_seconds / 60)} minutes, or until eight others came; `
    + "save the page of the new tab to keep it longer.";
  show("result", true);
  at("result").focus();
}

function asClass(one) {
  const row = element("li", "");
  const meter = Object.assign(element("meter", ""), { min: 0, max: 1, value: one.probability });
  meter.setAttribute("aria-hidden", "true");
  row.append(element("span", one.name), element("span", percent(one.probability)), meter);
  return row;
}

function asTable(objects) {
  if (objects.length === 0) return element("p", "No objects were found.");
  const table = element("table", "");
  const head = element("tr", "");
  head.append(...["object", "score", "x1", "y1", "x2", "y2"].map((name) => element("th", name)));
  table.append(head, ...objects.map((one) => {
    const row = element("tr", "");
    row.append(...[one.class, percent(one.score), ...one.box.map((side) => side.toFixed(0))].map((text) => element("td", text)));
    return row;
  }));
  return table;
}

function addressOf(name) {
  try {
    return `/predict?name=${encodeURIComponent(name)}`;
  } catch {  // half a character
    return "/predict";
  }
}

function send(file) {
  if (request !== null || file === undefined) return;
  show("error", false);
  show("result", false);
  if (facts !== null && file.size > facts.most_bytes) {
    fail(`${file.name} has ${megabytes(file.size)}; at most ${megabytes(facts.most_bytes)} are taken.`);
    return;
  }
  request = new XMLHttpRequest();
  busy(file.name);
  moved(0);
  at("status").textContent = "Sending.";
  let read = 0;
  let ended = false;
  request.upload.onprogress = (event) => {
    moved(event.loaded / Math.max(event.total, 1));
    at("status").textContent = `Sending: ${megabytes(event.loaded)} of ${megabytes(event.total)}.`;
  };
  request.upload.onload = () => moved(null);
  request.onprogress = (event) => {
    if (event.target.status !== 200) return;
    const text = event.target.responseText;
    const whole = text.lastIndexOf("\n") + 1;
    const lines = text.slice(read, whole).split("\n").filter((line) => line !== "");
    read = whole;
    if (lines.length === 0) return;
    const state = JSON.parse(lines[lines.length - 1]);
    ended = state.state === "done" || state.state === "failed";
    told(state);
  };
  request.onload = (event) => {
    busy(null);
    if (event.target.status !== 200) fail(reasonOf(event.target));
    else if (!ended) fail("The server ended before the answer was there: send the file again.");
  };
  request.onerror = () => {
    busy(null);
    fail("The server cannot be reached, or ended before the answer was there: send the file again.");
  };
  request.onabort = () => {
    busy(null);
    at("status").textContent = "Cancelled.";
  };
  request.open("POST", addressOf(file.name));
  request.setRequestHeader("Accept", "application/x-ndjson");
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.send(file);
}

function reasonOf(answer) {
  try {
    return JSON.parse(answer.responseText).error;
  } catch {
    return `The server answered ${answer.status} ${answer.statusText}.`;
  }
}

at("file").addEventListener("change", () => {
  send(at("file").files[0]);
  at("file").value = "";  // the same file can be chosen again
});
at("cancel").addEventListener("click", () => request?.abort());
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.remove("over");
  });
}
document.addEventListener("drop", (event) => send(event.dataTransfer.files[0]));

fetch("/health").then((answer) => answer.json()).then((found) => {
  facts = found;
  at("about").textContent = `${found.network} on this machine`;
  at("ask").textContent = `Drop ${found.takes === "image" ? "an image" : "a video"} here, or choose one`;
  at("limits").textContent = `At most ${megabytes(found.most_bytes)}; one at a time, others wait.`;
  at("file").accept = `${found.takes}/*${found.takes === "video" ? ",.mkv,.avi" : ""}`;
}).catch(() => fail("The server cannot be reached."));
