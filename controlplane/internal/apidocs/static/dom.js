// h makes an element: h("a.button", {href: "#"}, "text", child, …). Text is never parsed as
// HTML, so that nothing in the description can become markup.
export function h(name, ...rest) {
  const [tag, ...classes] = name.split(".");
  const el = document.createElement(tag);
  if (classes.length) el.className = classes.join(" ");
  for (const part of rest.flat(Infinity)) {
    if (part === null || part === undefined || part === false || part === "") continue;
    if (part instanceof Node) el.append(part);
    else if (typeof part === "object") assign(el, part);
    else el.append(String(part));
  }
  return el;
}

function assign(el, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "value") el.value = value;
    else el.setAttribute(key, value === true ? "" : value);
  }
}

// prose turns `code` into elements and keeps the rest as text.
export function prose(text) {
  return String(text ?? "").split(/(`[^`]+`)/).filter(Boolean)
    .map((part) => (part.startsWith("`") ? h("code", part.slice(1, -1)) : part.replaceAll("\n", " ")));
}

// copyButton copies what text() returns at the time, and says so.
export function copyButton(text) {
  const button = h("button.copy", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}
