// Package directory is a data plane that writes every document as a file, for a server
// whose own programs read them: the smallest real one, and an example of an Applier.
//
//	<dir>/current -> generations/g-…      what serves, swapped in one step
//	<dir>/current/releases.json           the release of every channel
//	<dir>/current/site/shop.test.json     one document, as proto3 JSON
//
// A generation is complete before `current` leads to it, and is never changed afterwards:
// whoever resolves `current` once reads one generation. The one before is kept for readers
// that are in the middle of it; older ones are removed. Files that did not change are hard
// links. A document that cannot be decoded is refused by name, and what serves stays.
//
// Nothing is synced: the agent's own store is what survives a power cut, and it writes a
// full generation whenever it starts. A [Plane] owns its directory, and only one may use it.
package directory
