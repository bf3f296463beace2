import { h, prose, copyButton } from "./dom.js";
import { resolve, tree, parameters, example, typeOf } from "./schema.js";

let token = "";
const listeners = new Set();

export function setToken(value) {
  token = value.trim();
  for (const changed of listeners) changed();
}

// forget drops the examples of a page that is left.
export function forget() {
  listeners.clear();
}

const quote = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;

// operation is one method on one path: what it is, what it takes, what it answers, how to try.
export function operation(op) {
  const all = (op.parameters ?? []).map((p) => resolve(p));
  const at = (place) => all.filter((p) => p.in === place);
  const body = op.requestBody && resolve(op.requestBody.content?.["application/json"]?.schema);
  const ok = op.responses?.["200"];
  const answer = ok?.content?.["application/json"]?.schema;
  const streams = Boolean(resolve(answer).properties?.result && resolve(answer).properties?.error);
  return h("article.op", { id: op.operationId, "aria-labelledby": `${op.operationId}-title` },
    h("h2", { id: `${op.operationId}-title` }, h("a.anchor", { href: `#/${op.tag}/${op.operationId}` }, op.operationId)),
    h("p.route", h(`span.method.${op.method}`, op.method.toUpperCase()), " ", h("code", op.path.split(/(\{[^}]+\})/).map((part) =>
      part.startsWith("{") ? h("em", part) : part))),
    h("div.cols",
      h("div.text",
        h("p.summary", prose(op.summary)),
        h("p.facts",
          access(op),
          streams && h("span.fact", "answers with a stream of lines")),
        all.length > 0 && section("Parameters", parameters([...at("path"), ...at("query"), ...at("header")])),
        body && section("Body", h("p.type", typeOf(body)), tree(body)),
        section(streams ? "Each line" : "Answer", answer ? [h("p.type", typeOf(streams ? resolve(answer).properties.result : answer)),
          tree(streams ? resolve(answer).properties.result : answer)] : h("p.empty", "An empty object."))),
      h("div.aside", tryIt(op, at, body, streams))));
}

// access says who may call.
function access(op) {
  if (op.security?.length === 0) return h("span.fact", "public");
  if (!op["x-permission"]) return h("span.fact", "any credential");
  return h("span.fact", "permission ", h("code", op["x-permission"]));
}

function section(title, ...content) {
  return h("section", h("h3", title), content);
}

// tryIt builds a request from the reader's input: as a curl command, and to send from here.
function tryIt(op, at, body, streams) {
  const inputs = new Map();
  const field = (p) => {
    const id = `${op.operationId}-${p.name}`;
    const input = h("input", { id, autocomplete: "off", spellcheck: "false", placeholder: p.in === "path" ? p.name : "" });
    inputs.set(p, input);
    input.addEventListener("input", update);
    return h("div.field", h("label", { for: id }, p.name), input);
  };
  const fields = [...at("path"), ...at("query"), ...at("header")].map(field);
  const text = body && h("textarea", { id: `${op.operationId}-body`, spellcheck: "false", rows: 8 });
  if (text) {
    text.value = JSON.stringify(example(body) ?? {}, null, 2);
    text.rows = Math.min(18, text.value.split("\n").length + 1);
    text.addEventListener("input", update);
  }
  const command = h("pre.curl", { tabindex: "0", "aria-label": "curl command" });
  const send = h("button.button.send", { type: "button" }, "Send");
  const result = h("div.result", { role: "status" });

  function request() {
    let path = op.path;
    const query = new URLSearchParams();
    const headers = {};
    for (const [p, input] of inputs) {
      const value = input.value.trim();
      if (p.in === "path") path = path.replace(`{${p.name}}`, value ? encodeURIComponent(value) : `{${p.name}}`);
      else if (value && p.in === "query") query.append(p.name, value);
      else if (value && p.in === "header") headers[p.name] = value;
    }
    const search = query.toString();
    if (text) headers["Content-Type"] = "application/json";
    return { path: search ? `${path}?${search}` : path, headers, body: text?.value };
  }

  function update() {
    const r = request();
    const parts = [`curl ${streams ? "-N " : ""}${op.method === "get" ? "" : `-X ${op.method.toUpperCase()} `}${quote(location.origin + r.path)}`];
    if (op.security?.length !== 0) parts.push(`-H "Authorization: Bearer ${token ? "$TOKEN" : "<token>"}"`);
    for (const [name, value] of Object.entries(r.headers)) parts.push(`-H ${quote(`${name}: ${value}`)}`);
    if (r.body) parts.push(`-d ${quote(r.body)}`);
    command.textContent = parts.join(" \\\n  ");
    send.disabled = /\{[^}]+\}/.test(r.path.split("?")[0]);
  }

  let running = null;
  send.addEventListener("click", async () => {
    if (running) {
      running.abort();
      return;
    }
    const r = request();
    running = new AbortController();
    send.textContent = "Stop";
    try {
      const began = performance.now();
      const answer = await fetch(r.path, { method: op.method.toUpperCase(), body: r.body, signal: running.signal, credentials: "omit",
        headers: token ? { ...r.headers, Authorization: `Bearer ${token}` } : r.headers });
      const out = h("pre", { tabindex: "0" });
      result.replaceChildren(h(`p.status.${answer.ok ? "good" : "bad"}`, `${answer.status} · ${Math.round(performance.now() - began)} ms · `,
        h("code", answer.headers.get("X-Request-Id") ?? "")), out);
      await show(answer, out, streams);
    } catch (error) {
      result.append(h("p.status.bad", error.name === "AbortError" ? "Stopped." : String(error.message)));
    } finally {
      running = null;
      send.textContent = "Send";
    }
  });

  listeners.add(update);
  update();
  return h("section.try", h("h3", "Try it"), fields, text && h("div.field", h("label", { for: text.id }, "Body"), text),
    h("div.bar", send, copyButton(() => command.textContent)), command, result);
}

// show writes an answer as it comes: JSON in a readable form, streams line by line.
async function show(answer, out, streams) {
  if (!streams || !answer.body) {
    const raw = await answer.text();
    try {
      out.textContent = JSON.stringify(JSON.parse(raw), null, 2);
    } catch {
      out.textContent = raw;
    }
    return;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    out.textContent = (out.textContent + part.value).slice(-50000);
  }
}
