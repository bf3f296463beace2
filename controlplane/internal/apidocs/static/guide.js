import { h, prose } from "./dom.js";

// What holds everywhere, in a few lines each.
const rules = [
  ["Credentials", "Send `Authorization: Bearer …` with an API token or a login's secret. 401 means a missing or bad credential, 403 a missing permission, which the answer names."],
  ["JSON", "Bodies are the JSON mapping of proto3: lowerCamelCase, 64-bit integers as texts, RFC 3339 times. An unknown field or parameter is refused, and named."],
  ["Updates", "`PATCH` changes the fields in `updateMask`, or those that the body has. Output-only fields are ignored."],
  ["Etags", "Every resource that can change has an `etag`. Send it back, in the body, as `?etag=` or as `If-Match`; a stale one is 409 `ETAG_MISMATCH`."],
  ["Safe repeats", "`Idempotency-Key` makes any change safe to repeat for 24 hours: the repeat gets the first success."],
  ["Dry runs", "`?validateOnly=true` makes every check and stores nothing."],
  ["Lists", "`pageSize` (50, at most 1,000), `pageToken`, and `filter`, as in `state = \"ACTIVE\" AND labels.env = \"prod\"`."],
  ["Versions", "A change that affects the edge answers with the site's new `version`. Ask its `propagation`, or `:wait` for it."],
  ["Errors", "Every error is a `google.rpc.Status` with an `ErrorInfo`: a stable reason and metadata. All bad fields come at once."],
  ["Streams", "Streams are lines of `{\"result\":…}`, with at most one `{\"error\":…}` at the end."],
];

export function guide(groups) {
  const count = groups.reduce((n, g) => n + g.ops.length, 0);
  return [
    h("header.group.hero", h("h1", "Breakwater API"),
      h("p", "Everything a customer of the network manages, and how every change reaches the edge: wave by wave, and undone where it hurts."),
      h("p.facts", h("span.fact", `${count} operations`), h("span.fact", `${groups.length} services`), h("span.fact", "gRPC and REST"))),
    h("h2", "What holds everywhere"),
    h("div.cards", rules.map(([title, text]) => h("section.card", h("h3", title), h("p", prose(text))))),
    h("h2", "Services"),
    h("div.cards", groups.map((g) => h("a.card", { href: `#/${g.name}` }, h("h3", g.title, h("span.count", g.ops.length)),
      h("p", prose((g.about ?? "").replace(/^\w+Service /, "").replace(/^./, (c) => c.toUpperCase())))))),
  ];
}
