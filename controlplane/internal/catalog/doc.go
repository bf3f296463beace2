// Package catalog knows the apps: which there are, what their settings must look like,
// which plan they need, and which of them can't be on together.
//
// The catalogue that a new installation begins with is an embedded data file ([Default]).
// From then on the entries live in the registry, where operators change them, and reach
// the edge like every change, wave by wave. The API must therefore offer only what every
// data center is known to hold; [Offered] finds those versions.
//
// A [Catalog] is built from entries and never changes: its methods may be called
// concurrently and never block. Schemas are compiled once; [Catalog.Update] makes the next
// catalogue and compiles only what changed. Messages that a Catalog hands out are shared
// and must not be modified.
//
// Schemas are JSON Schema, draft 2020-12, and may refer only to themselves: compiling one
// never reads a file or the network. They may use the formats `source-cidr`, a network that
// visitors come from, and `public-url`, a URL that the edge may fetch. Regular expressions are
// RE2, so that matching is linear in the settings, whose size is bounded.
package catalog
