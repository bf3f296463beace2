// Package listing is what all List methods have in common: page sizes, page tokens, filters
// and orders. [Parse] reads them from a request and checks them; [Page] and [PageSorted]
// then take one page from a scan that the caller provides.
//
// # Guarantees
//
// A page token says after which key to go on, never at which position, so that an item that
// exists through the whole walk is returned exactly once, whatever comes and goes around it.
// A token is bound to its query by a checksum: the request's type and all its fields but the
// page size, and [Options.Scope]. It is no secret and no proof of anything. It only says
// where to go on in what the caller may see anyway, so the scan decides visibility.
//
// # Filters
//
// A filter is AIP-160 over the fields of the returned item: `=`, `!=`, `<`, `<=`, `>`, `>=`,
// `:`, AND, OR, NOT (or a leading minus) and parentheses. As in AIP-160, OR binds tighter
// than AND. Fields have their JSON or their proto names and nest with dots; a map's key is a
// segment of the path. Text with anything but letters, digits and underscores is quoted.
//
//   - `a != b` is `NOT a = b`, also where a is not set.
//   - `labels:env` says that the map has the key, `labels.env = "prod"` what it holds.
//   - `sites:"example.com"` says that the list has the element.
//   - `stateReason:word` says that the text contains the word, in any case.
//   - `deleteTime:*` says that the field is set.
//   - What the list's items do not have, as [Options.Absent] says, is refused.
//   - Enums compare by name, timestamps as RFC 3339, durations as `90s` or `1h30m`.
//
// # Costs
//
// A filter has at most 2,000 bytes, 100 comparisons and 20 levels. A call looks at no more
// items than [Options.MaxScan]; a page that needs more ends early with a token. All
// functions are pure but for the scan, which they call on the caller's goroutine. A [Query]
// is read-only and safe for concurrent use.
package listing
