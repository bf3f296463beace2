import { h, prose } from "./dom.js";
import { use } from "./schema.js";
import { operation, setToken, forget } from "./operation.js";
import { guide } from "./guide.js";

const $ = (id) => document.getElementById(id);
const methods = ["get", "post", "patch", "put", "delete"];
let groups = [];

// titles are those of the groups whose names do not say what they hold.
const titles = { App: "Apps", Audit: "Audit log", Dns: "DNS records", Threat: "Threat settings" };

// collect orders the operations by tag, and within a tag as people meet them: the plain
// methods of a collection first, custom verbs after them.
function collect(doc) {
  const byTag = new Map((doc.tags ?? []).map((t) => [t.name, { name: t.name, title: titles[t.name] ?? t.name, about: t.description, ops: [] }]));
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const method of methods) {
      const op = item[method];
      if (!op) continue;
      const tag = op.tags?.[0] ?? "Other";
      if (!byTag.has(tag)) byTag.set(tag, { name: tag, title: tag, ops: [] });
      byTag.get(tag).ops.push({ ...op, tag, path, method, security: op.security ?? doc.security,
        words: `${op.operationId} ${path} ${op.summary ?? ""} ${op["x-permission"] ?? ""}`.toLowerCase() });
    }
  }
  const verbs = ["Create", "List", "Get", "Update", "Delete"];
  const rank = (op) => {
    const i = verbs.findIndex((v) => op.operationId.startsWith(v));
    return i < 0 ? verbs.length : i;
  };
  const out = [...byTag.values()].filter((g) => g.ops.length);
  for (const g of out) g.ops.sort((a, b) => rank(a) - rank(b) || a.path.localeCompare(b.path));
  const first = ["Account", "Site", "Settings", "App", "Threat", "Dns", "Propagation", "Version", "Member", "Token", "Audit", "Plan", "Status"];
  const place = (g) => (first.indexOf(g.name) + 1 || first.length + 1);
  return out.sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name));
}

function drawNav(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  const [tag, id] = location.hash.slice(2).split("/");
  $("groups").replaceChildren(...groups.map((g) => {
    const ops = g.ops.filter((op) => words.every((w) => op.words.includes(w) || g.title.toLowerCase().includes(w)));
    found += ops.length;
    if (!ops.length) return null;
    const open = words.length > 0 || g.name === tag;
    return h("details", { open }, h("summary", h("a", { href: `#/${g.name}`, "aria-current": g.name === tag && !id ? "page" : null }, g.title), h("span.count", ops.length)),
      h("ul", ops.map((op) => h("li", h("a", { href: `#/${g.name}/${op.operationId}`, "aria-current": op.operationId === id ? "page" : null },
        h(`span.method.${op.method}`, op.method === "delete" ? "DEL" : op.method.toUpperCase()), h("span", op.operationId))))));
  }).filter(Boolean));
  $("found").textContent = words.length ? `${found} ${found === 1 ? "operation" : "operations"}` : "";
}

function draw() {
  const [tag, id] = decodeURIComponent(location.hash.slice(2)).split("/");
  const main = $("content");
  const group = groups.find((g) => g.name === tag);
  if (main.dataset.shown !== (group?.name ?? "")) {
    forget();
    main.dataset.shown = group?.name ?? "";
    main.replaceChildren(...(group
      ? [h("header.group", h("h1", group.title), h("p", prose(group.about?.replace(/^\w+Service /, (s) => `${s.trim()} `)))), ...group.ops.map(operation)]
      : guide(groups)));
    document.title = group ? `${group.title} · Breakwater API` : "Breakwater API";
    scrollTo(0, 0);
  }
  drawNav($("search").value);
  if (id) document.getElementById(id)?.scrollIntoView();
  menu(false);
}

function menu(open) {
  document.body.classList.toggle("open", open);
  $("menu").setAttribute("aria-expanded", String(open));
}

function wire() {
  $("search").addEventListener("input", (e) => drawNav(e.target.value));
  $("search").addEventListener("keydown", (e) => {
    if (e.key === "Enter") $("groups").querySelector("ul a")?.click();
    if (e.key === "Escape") {
      e.target.value = "";
      drawNav("");
    }
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      e.preventDefault();
      $("search").focus();
    }
  });
  $("token").addEventListener("input", (e) => setToken(e.target.value));
  $("credential").addEventListener("submit", (e) => e.preventDefault());
  $("menu").addEventListener("click", () => menu(!document.body.classList.contains("open")));
  $("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // It holds for this page then.
    }
  });
  addEventListener("hashchange", draw);
}

try {
  const answer = await fetch("/openapi.json");
  const doc = await answer.json();
  use(doc);
  groups = collect(doc);
  $("version").textContent = doc.info.version;
  wire();
  draw();
} catch (error) {
  $("content").replaceChildren(h("p.loading", `The description could not be loaded: ${error.message}`));
}
