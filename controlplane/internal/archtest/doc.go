// Package archtest guards the shape of the house; it has no code but tests.
//
// What it guards:
//
//   - Layers: which package may import which, as a table of rules, each with its
//     reason and an example that it has to catch (layers_test.go). In short,
//     cmd → server → service → rooms → api; billing and sdk know only api and
//     their own; the server meets the SDK only in tests, in simfleet, and in
//     sdk/edge/wire, the one definition of what edges read.
//   - Package docs: every package states in doc.go what it is for.
//   - Size: a source file ends before it holds two ideas.
//   - Versions: go.mod stays above the releases with known security holes.
//   - Cleanliness: no machine paths, no postponed work in comments, no code that
//     runs because a package is linked.
//
// The tests read source files and never build them, so they take less than a
// second and hold for code behind build tags too. Generated files and the tools
// module are judged only where a rule says so. To change a rule, change its row
// and its reason together.
package archtest
